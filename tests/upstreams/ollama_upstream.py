"""A provider for tests that is faithful to Ollama's own wire."""

import json
from typing import Any

from .http_upstream import End, Gate, Reply, Request, Upstream

NDJSON = (("content-type", "application/x-ndjson"),)
JSON = (("content-type", "application/json; charset=utf-8"),)
DATE = "2026-03-01T12:00:00.123456789Z"


def line(data: Any) -> bytes:
    return (data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()) + b"\n"


def piece(content: str = "", **message: Any) -> dict[str, Any]:
    """One line of a stream, with the fields that Ollama sends in each."""
    said = {"role": "assistant", "content": content} | message
    return {"model": "qwen3:4b", "created_at": DATE, "message": said, "done": False}


def last(reason: str | None = "stop", prompt: int | None = 11, said: int | None = 7) -> dict[str, Any]:
    """The last line, with what was counted."""
    counted = {
        "done_reason": reason,
        "total_duration": 4_883_583_458,
        "load_duration": 1_334_875,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 342_546_000,
        "eval_count": said,
        "eval_duration": 4_535_599_000,
    }
    return piece() | {"done": True} | {name: value for name, value in counted.items() if value is not None}


def streams(*pieces: dict[str, Any], ending: dict[str, Any] | None = None, pause: float = 0.0, end: End = "end") -> Reply:
    """A stream of these lines and the last one; with another `end` it stops before that."""
    frames: list[bytes | float | Gate] = []
    for each in pieces:
        if pause:
            frames.append(pause)
        frames.append(line(each))
    if end == "end":
        frames.append(line(ending or last()))
    return Reply(frames, headers=NDJSON, end=end)


def says(text: str, *, size: int = 4, pause: float = 0.0, end: End = "end") -> Reply:
    """A stream that says `text` in pieces of `size` characters, `pause` seconds apart."""
    return streams(*(piece(text[i : i + size]) for i in range(0, len(text), size)), pause=pause, end=end)


def call(name: str, arguments: dict[str, Any], id_: str = "") -> dict[str, Any]:
    return ({"id": id_} if id_ else {}) | {"function": {"name": name, "arguments": arguments}}


def calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """A stream that thinks, then calls these tools; as Ollama does it, each is whole and none has an id."""
    return streams(piece(thinking="I need a tool."), *(piece(tool_calls=[call(name, args)]) for name, args in wanted))


def refuses(status: int, message: str = "no") -> Reply:
    return Reply([json.dumps({"error": message}).encode()], status, JSON)


class OllamaUpstream(Upstream):
    """Answers `/api/chat`, streamed or not, and lists its `models`."""

    def __init__(self, default: Reply | None = None) -> None:
        self.models = ["qwen3:4b", "llama3.2:latest"]
        super().__init__(default or says("Hello from upstream."))

    def is_chat(self, request: Request) -> bool:
        return request.path == "/api/chat"

    def streams(self, request: Request) -> bool:
        return request.body.get("stream", True)

    def aside(self, request: Request) -> Reply:
        if request.path != "/api/tags":
            return Reply([b"404 page not found"], 404, (("content-type", "text/plain"),))
        listed = [{"name": name, "model": name, "modified_at": DATE, "size": 1, "digest": "0" * 64} for name in self.models]
        return Reply([json.dumps({"models": listed}).encode()], headers=JSON)

    def unstreamed(self, reply: Reply) -> Reply:
        whole: dict[str, Any] = {}
        said: dict[str, Any] = {"role": "assistant", "content": ""}
        for frame in reply.frames:
            if isinstance(frame, bytes):
                whole = json.loads(frame)
                for name in ("content", "thinking", "tool_calls"):
                    if name in whole["message"]:
                        said[name] = said.get(name, type(whole["message"][name])()) + whole["message"][name]
        return Reply([json.dumps(whole | {"message": said}).encode()], headers=JSON)
