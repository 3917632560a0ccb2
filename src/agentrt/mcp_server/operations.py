"""The OpenAPI operations of `/mcp`, whose handlers leave the raw request to the MCP SDK."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import Operation

_HEADERS = {
    "MCP-Protocol-Version": "The revision of the protocol; with `2026-07-28` every request stands for itself.",
    "Mcp-Session-Id": "The session that `initialize` opened, in revisions before that.",
    "X-User-Id": "The end user; a session belongs to the one that opened it.",
}
_ID = {"type": ["string", "integer", "null"]}
_REQUEST = {
    "type": "object",
    "description": "One JSON-RPC request or notification of the Model Context Protocol.",
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"type": ["string", "integer"]},
        "method": {"type": "string"},
        "params": {"type": "object"},
    },
    "required": ["jsonrpc", "method"],
    "additionalProperties": True,
}
_ANSWER = {
    "type": "object",
    "properties": {"jsonrpc": {"const": "2.0"}, "id": _ID, "result": {"type": "object"}, "error": {"type": "object"}},
    "required": ["jsonrpc"],
}
_STREAM = {"schema": {"type": "string", "description": "Server-sent events; `data` is a JSON-RPC message."}}
_REFUSED = {
    400: "No message of the protocol, or one that cannot be understood.",
    404: "There is no such session (any more), or no such method.",
    406: "The caller does not accept both application/json and text/event-stream.",
    409: "The session has a stream of this kind already.",
}


def _responses(told: Mapping[str, Any], refused: tuple[int, ...]) -> dict[str, Any]:
    failures = {str(s): {"description": _REFUSED[s], "content": {"application/json": {"schema": _ANSWER}}} for s in refused}
    return {**told, **failures}


def _parameters() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
    ]


@dataclass
class Post(Operation):
    def __post_init__(self) -> None:
        answer = {
            "description": "The answer.",
            "content": {"application/json": {"schema": _ANSWER}, "text/event-stream": _STREAM},
        }
        self.parameters = _parameters()  # type: ignore[assignment]
        self.request_body = {"required": True, "content": {"application/json": {"schema": _REQUEST}}}  # type: ignore[assignment]
        told = {"200": answer, "202": {"description": "A notification was taken."}}
        self.responses = _responses(told, (400, 404, 406))  # type: ignore[assignment]


@dataclass
class Listen(Operation):
    def __post_init__(self) -> None:
        answer = {"description": "What the server tells the session.", "content": {"text/event-stream": _STREAM}}
        self.parameters = _parameters()  # type: ignore[assignment]
        self.responses = _responses({"200": answer}, (400, 404, 406, 409))  # type: ignore[assignment]


@dataclass
class End(Operation):
    def __post_init__(self) -> None:
        self.parameters = _parameters()  # type: ignore[assignment]
        self.responses = _responses({"200": {"description": "The session has ended."}}, (400, 404))  # type: ignore[assignment]
