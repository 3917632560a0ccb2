"""The OpenAPI operation of the chat route, whose handler reads the raw request."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import Operation

from .body import ChatBody
from .embeddings import EmbeddingBody, EmbeddingList
from .shapes import ChatCompletion, ChatCompletionChunk

_HEADERS = {
    "X-Session-Id": "The conversation that this request belongs to; also `X-Conversation-Id`.",
    "X-User-Id": "The end user, where the body names none.",
    "X-On-Disconnect": "`continue`: the run outlives a caller that hangs up; otherwise that cancels it.",
    "X-Agentrt-Events": "`true`: a stream tells the run's events too, in chunks without choices.",
    "Idempotency-Key": "The same key and body within 24 hours give the first answer again.",
}
_ANSWER_HEADERS = {
    "x-run-id": "The run behind this answer.",
    "x-session-id": "The session that it belongs to.",
    "x-request-id": "This request.",
    "x-agentrt-ignored": "Parameters that were dropped with notice.",
    "x-agentrt-overhead-ms": "The time that was the server's own; on a stream until its first byte.",
    "x-agentrt-cost-usd": "What the run cost in US dollars, where that is known; not on a stream, whose usage says it.",
}
# Their body is the same all over `/v1`: `http` adds it.
_ERRORS = {
    400: "The request cannot be used; `param` names the place.",
    404: "No such model.",
    409: "The run was cancelled, or the Idempotency-Key came with another body.",
    413: "The body is too large.",
    415: "The body is not declared as application/json.",
    429: "A limit or budget is used up.",
    500: "A mistake of the server.",
    502: "The provider failed.",
    503: "The provider or the server is not available now.",
    504: "The provider gave no answer in time.",
}


@dataclass
class ChatOperation(Operation):
    """`POST /v1/chat/completions`, told by hand."""

    def __post_init__(self) -> None:
        self.request_body = _json_body(_schema(ChatBody) | {"additionalProperties": True})  # type: ignore[assignment]
        self.parameters = [_header(name, text) for name, text in _HEADERS.items()]  # type: ignore[misc]
        self.responses = {"200": _answer()} | {str(s): {"description": text} for s, text in _ERRORS.items()}  # type: ignore[assignment]


@dataclass
class EmbeddingOperation(Operation):
    """`POST /v1/embeddings`, told by hand."""

    def __post_init__(self) -> None:
        self.request_body = _json_body(_schema(EmbeddingBody) | {"additionalProperties": True})  # type: ignore[assignment]
        answer = {
            "description": "The provider's answer, as it came.",
            "headers": _told_headers(),
            "content": {"application/json": {"schema": _schema(EmbeddingList)}},
        }
        failures = {str(status): {"description": text} for status, text in _ERRORS.items() if status != 409}
        self.responses = {"200": answer} | failures  # type: ignore[assignment]


def _told_headers() -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in _ANSWER_HEADERS.items()}


def _answer() -> dict[str, Any]:
    return {
        "description": "The answer: whole, or with `stream` as server-sent events that end with `[DONE]`.",
        "headers": _told_headers(),
        "content": {
            "application/json": {"schema": _schema(ChatCompletion)},
            "text/event-stream": {"schema": _schema(ChatCompletionChunk)},
        },
    }


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}


def _schema(of: type) -> dict[str, Any]:
    """The JSON Schema of a Struct, all of it in place."""
    schema = msgspec.json.schema(of)
    return _inlined(schema, schema.get("$defs", {}))


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if (reference := node.get("$ref")) is not None:
        return _inlined(definitions[reference.rpartition("/")[2]], definitions)
    # a discriminator's mapping would point at what is no longer there
    return {key: _inlined(value, definitions) for key, value in node.items() if key not in ("$defs", "discriminator")}
