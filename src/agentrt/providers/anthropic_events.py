"""The events of the Messages API's stream, in the fields that are used. Pure."""

from typing import Any

import msgspec


class Thought(msgspec.Struct, gc=False):
    thinking_tokens: int | None = None


class SpentTokens(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: Thought | None = None


class Refusal(msgspec.Struct, gc=False):
    explanation: str | None = None


class Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: dict[str, Any] | None = None
    stop_reason: str | None = None
    stop_details: Refusal | None = None


class Started(msgspec.Struct, gc=False):
    model: str | None = None
    usage: SpentTokens | None = None


class Event(msgspec.Struct, gc=False):
    """Any event of a stream; a whole answer (`type` is `message`) has the fields of the second half."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: dict[str, Any] | None = None
    message: Started | None = None
    error: Any = None
    usage: SpentTokens | None = None
    content: list[dict[str, Any]] | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_details: Refusal | None = None


decode = msgspec.json.Decoder(Event).decode

OURS = frozenset(
    {"message_start", "message_delta", "message_stop", "message", "error"}
    | {"content_block_start", "content_block_delta", "content_block_stop"}
)
"""Types of events that say something to us."""
