"""Tokens by kind, as both of OpenAI's APIs count them. Pure."""

import msgspec

from agentrt.messages import Usage


class InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


def by_kind(given: int, made: int, of_given: InputDetails | None, of_made: OutputDetails | None) -> Usage:
    """`given` and `made` tokens, which include those that the details tell apart."""
    return Usage(
        given,
        made,
        (of_given and of_given.cached_tokens) or 0,
        (of_made and of_made.reasoning_tokens) or 0,
        cache_write=(of_given and of_given.cache_write_tokens) or 0,
        audio_input=(of_given and of_given.audio_tokens) or 0,
        audio_output=(of_made and of_made.audio_tokens) or 0,
        image_input=(of_given and of_given.image_tokens) or 0,
        image_output=(of_made and of_made.image_tokens) or 0,
    )
