"""The events of the Responses API's stream, in the fields that are used. Pure."""

from typing import Any

import msgspec

from .openai_usage import InputDetails, OutputDetails


class SpentTokens(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class Response(msgspec.Struct, gc=False):
    """The answer as a whole, as it stands in the last event or in the body of an answer that does not stream."""

    status: str | None = None
    model: str | None = None
    output: list[dict[str, Any]] | None = None
    usage: SpentTokens | None = None
    error: Any = None
    incomplete_details: Incomplete | None = None


class Event(msgspec.Struct, gc=False):
    """Any event of a stream. Other events than ours may have anything in fields of these names."""

    type: str = ""
    output_index: int = 0
    delta: Any = None
    item: dict[str, Any] | None = None
    summary_index: int | None = None
    response: msgspec.Raw = msgspec.Raw(b"")
    error: Any = None
    code: Any = None
    message: Any = None
    object: str | None = None


decode = msgspec.json.Decoder(Event).decode
decode_response = msgspec.json.Decoder(Response).decode

OURS = frozenset(
    {"error", "response.completed", "response.incomplete", "response.failed"}
    | {"response.output_item.added", "response.output_item.done", "response.output_text.delta", "response.refusal.delta"}
    | {"response.function_call_arguments.delta", "response.reasoning_summary_text.delta", "response.reasoning_text.delta"}
)
"""Types of events that say something to us."""
