"""What the OpenAPI description says of `/mcp`, whose handlers leave the raw request to the MCP SDK."""

from collections.abc import Mapping
from typing import Any

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


_PARAMETERS = [
    {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in _HEADERS.items()
]


def _operation(told: Mapping[str, Any], refused: tuple[int, ...]) -> dict[str, Any]:
    failures = {str(s): {"description": _REFUSED[s], "content": {"application/json": {"schema": _ANSWER}}} for s in refused}
    return {"parameters": _PARAMETERS, "responses": {**told, **failures}}


_ANSWERED = {"description": "The answer.", "content": {"application/json": {"schema": _ANSWER}, "text/event-stream": _STREAM}}
_NO_SESSIONS = {"405": {"description": "The revision of the protocol has no sessions."}}
_TOLD = {"description": "What the server tells the session.", "content": {"text/event-stream": _STREAM}}

POST = {
    **_operation({"200": _ANSWERED, "202": {"description": "A notification was taken."}}, (400, 404, 406)),
    "request_body": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
}
LISTEN = _operation({"200": _TOLD, **_NO_SESSIONS}, (400, 404, 406, 409))
END = _operation({"200": {"description": "The session has ended."}, **_NO_SESSIONS}, (400, 404))
