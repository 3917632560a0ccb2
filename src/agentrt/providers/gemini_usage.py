"""The tokens of a Gemini answer. Pure."""

import msgspec

from agentrt.messages import Message, Usage

from .client import ModelAsk
from .estimate import tokens_asked, tokens_in


class Modality(msgspec.Struct, rename="camel", gc=False):
    modality: str = ""
    token_count: int = 0


class UsageMetadata(msgspec.Struct, rename="camel", gc=False):
    """What every piece of an answer says of the whole so far: the last one counts."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[Modality] | None = None
    candidates_tokens_details: list[Modality] | None = None


def counted(usage: UsageMetadata | None, ask: ModelAsk, message: Message) -> Usage:
    """The tokens by kind, estimated where nobody counted. Thoughts are not among the candidates' tokens there."""
    if usage is None or not usage.prompt_token_count:
        return Usage(tokens_asked(ask), tokens_in(message), estimated=True)
    thoughts = usage.thoughts_token_count or 0
    return Usage(
        input=usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
        output=(usage.candidates_token_count or 0) + thoughts,
        cached=usage.cached_content_token_count or 0,
        reasoning=thoughts,
        audio_input=_of("AUDIO", usage.prompt_tokens_details),
        audio_output=_of("AUDIO", usage.candidates_tokens_details),
        image_input=_of("IMAGE", usage.prompt_tokens_details),
        image_output=_of("IMAGE", usage.candidates_tokens_details),
    )


def _of(modality: str, details: list[Modality] | None) -> int:
    return sum(detail.token_count for detail in details or () if detail.modality == modality)
