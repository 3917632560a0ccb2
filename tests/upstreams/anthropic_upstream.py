"""A provider for tests that is faithful to the wire of Anthropic's Messages API."""

import json
from typing import Any

from .http_upstream import End, Gate, Reply, Request, Upstream

JSON = (("content-type", "application/json"),)
MODEL = "claude-sonnet-5-5"
DATE = "2026-09-28T00:00:00Z"
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="


def event(data: dict[str, Any]) -> bytes:
    """As Anthropic sends them: named, and with characters beyond ASCII as they are."""
    return f"event: {data['type']}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def usage(given: int = 11, output: int = 7, read: int = 3, written: int = 4, thinking: int | None = None) -> dict[str, Any]:
    counted: dict[str, Any] = {
        "input_tokens": given,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": output,
    }
    return counted | ({} if thinking is None else {"output_tokens_details": {"thinking_tokens": thinking}})


def start(**more: Any) -> dict[str, Any]:
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": usage(output=1)
        | {
            "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 0},
            "server_tool_use": None,
            "service_tier": "standard",
        },
    }
    return {"type": "message_start", "message": message | more}


def block(index: int, begins: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": begins},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *pieces: str, cites: tuple[dict[str, Any], ...] = ()) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"type": "citations_delta", "citation": citation} for citation in cites]
    return block(index, {"type": "text", "text": ""}, *deltas, *({"type": "text_delta", "text": piece} for piece in pieces))


def thinking(index: int, *pieces: str, signature: str = SIGNATURE) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    if signature:
        deltas.append({"type": "signature_delta", "signature": signature})
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)


def redacted(index: int, data: str = "EmwKAhgBEgy3va3pzix/LafPsn4=") -> list[dict[str, Any]]:
    return block(index, {"type": "redacted_thinking", "data": data})


def tool_use(index: int, name: str, arguments: Any, kind: str = "tool_use", **more: Any) -> list[dict[str, Any]]:
    """A call whose input comes in pieces: first an empty one, as Anthropic sends it. `arguments` may be broken JSON text."""
    said = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    begins = {"type": kind, "id": f"toolu_upstream{index}", "name": name, "input": {}} | more
    pieces = ("", said[: len(said) // 2], said[len(said) // 2 :])
    return block(index, begins, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def finish(reason: str = "end_turn", counted: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None, "stop_details": None} | more
    return [{"type": "message_delta", "delta": delta, "usage": usage() if counted is None else counted}, {"type": "message_stop"}]


PING: dict[str, Any] = {"type": "ping"}


def streams(*blocks: list[dict[str, Any]], reason: str | None = "end_turn", pause: float = 0.0, end: End = "end") -> Reply:
    """A whole stream of these blocks; with another `end`, or `reason` None, it stops after them."""
    frames: list[bytes | float | Gate] = [event(start())]
    for place, data in enumerate(one for events in blocks for one in events):
        if place == 1:
            frames.append(event(PING))
        if pause:
            frames.append(pause)
        frames.append(event(data))
    if reason is not None and end == "end":
        frames += map(event, finish(reason))
    return Reply(frames, end=end)


def says(said: str, *, size: int = 4, pause: float = 0.0, end: End = "end") -> Reply:
    """A stream that says `said` in pieces of `size` characters, `pause` seconds apart."""
    return streams(text(0, *(said[i : i + size] for i in range(0, len(said), size))), pause=pause, end=end)


def calls(*wanted: tuple[str, dict[str, Any]], think: bool = True) -> Reply:
    """A stream that thinks, then calls these tools."""
    before = [thinking(0, "I need ", "a tool.")] if think else []
    made = [tool_use(place + len(before), name, arguments) for place, (name, arguments) in enumerate(wanted)]
    return streams(*before, *made, reason="tool_use")


def refuses(status: int, message: str = "no", kind: str = "invalid_request_error", *, retry_after: str | None = None) -> Reply:
    """An error of the API, with Anthropic's error body."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
    headers = (*JSON, ("retry-after", retry_after)) if retry_after else JSON
    return Reply([json.dumps(body).encode()], status, headers)


class AnthropicUpstream(Upstream):
    """Answers `/v1/messages`, streamed or not, and lists its `models`."""

    def __init__(self, default: Reply | None = None) -> None:
        self.models = [MODEL, "claude-haiku-4-5-20251001"]
        super().__init__(default or says("Hello from upstream."))

    def is_chat(self, request: Request) -> bool:
        return request.path == "/v1/messages"

    def aside(self, request: Request) -> Reply:
        if not request.path.startswith("/v1/models"):
            return refuses(404, "Not found", "not_found_error")
        listed = [{"type": "model", "id": name, "display_name": name, "created_at": DATE} for name in self.models]
        body = {"data": listed, "has_more": False, "first_id": self.models[0], "last_id": self.models[-1]}
        return Reply([json.dumps(body).encode()], headers=JSON)

    def unstreamed(self, reply: Reply) -> Reply:
        return Reply([json.dumps(joined(reply)).encode()], headers=JSON)


def joined(stream: Reply) -> dict[str, Any]:
    """What Anthropic answers to the same request without `stream`."""
    message: dict[str, Any] = {}
    written = ""
    for frame in stream.frames:
        data: dict[str, Any] = json.loads(frame.partition(b"data: ")[2]) if isinstance(frame, bytes) else PING
        match data["type"]:
            case "message_start":
                message = data["message"]
            case "content_block_start":
                message["content"].append(data["content_block"])
                written = ""
            case "content_block_delta":
                written += data["delta"].get("partial_json", "")
                _join(message["content"][data["index"]], data["delta"])
            case "content_block_stop":
                if written:
                    message["content"][data["index"]]["input"] = json.loads(written)
            case "message_delta":
                message |= data["delta"] | {"usage": message["usage"] | data["usage"]}
    return message


def _join(begun: dict[str, Any], delta: dict[str, Any]) -> None:
    for name in ("text", "thinking", "signature"):
        if name in delta:
            begun[name] += delta[name]
    if "citation" in delta:
        begun["citations"] = [*(begun.get("citations") or []), delta["citation"]]
