"""A provider for tests that is faithful to OpenAI's wire."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .http_upstream import End, Gate, Reply, Request, Upstream, event, page, wait_until

__all__ = [
    "DONE",
    "End",
    "Gate",
    "OpenAIUpstream",
    "Reply",
    "Request",
    "calls",
    "chunk",
    "event",
    "openai_upstream",
    "page",
    "refuses",
    "says",
    "streams",
    "usage",
    "wait_until",
]


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A `chat.completion.chunk` with all the fields that OpenAI sends."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": choices,
        "usage": None,
    } | more


def usage(prompt: int = 11, completion: int = 7, cached: int = 3, reasoning: int = 2) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


DONE = event(b"[DONE]")


def streams(*deltas: dict[str, Any], finish: str | None = "stop", pause: float = 0.0, end: End = "end") -> Reply:
    """A whole stream of these deltas, with usage and [DONE]; with another `end`, or `finish` None, it stops after them."""
    frames: list[bytes | float | Gate] = [event(chunk({"role": "assistant", "content": "", "refusal": None}))]
    for delta in deltas:
        if pause:
            frames.append(pause)
        frames.append(event(chunk(delta)))
    if finish is not None and end == "end":
        frames += [event(chunk({}, finish)), event(chunk(usage=usage())), DONE]
    return Reply(frames, end=end)


def says(text: str, *, size: int = 4, pause: float = 0.0, end: End = "end") -> Reply:
    """A stream that says `text` in pieces of `size` characters, `pause` seconds apart."""
    pieces = [{"content": text[i : i + size]} for i in range(0, len(text), size)]
    return streams(*pieces, pause=pause, end=end)


def calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """A stream that calls these tools, its arguments in two pieces each."""
    deltas = []
    for index, (name, arguments) in enumerate(wanted):
        text = json.dumps(arguments)
        head = {"id": f"call_upstream{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [{"index": index} | head]})
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    return streams(*deltas, finish="tool_calls")


def refuses(status: int, message: str = "no", code: str | None = None, *, retry_after: str | None = None) -> Reply:
    """An error of the API, with OpenAI's error body."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    headers = [("content-type", "application/json")] + ([("retry-after", retry_after)] if retry_after else [])
    return Reply([json.dumps(body).encode()], status, tuple(headers))


class OpenAIUpstream(Upstream):
    """Answers chat completions, streamed or not, and lists its `models`."""

    def __init__(self, default: Reply | None = None) -> None:
        self.models = ["gpt-4o-mini", "local-model"]
        super().__init__(default or says("Hello from upstream."))

    @property
    def base_url(self) -> str:
        return super().base_url + "/v1"

    def is_chat(self, request: Request) -> bool:
        return request.path.endswith("/chat/completions")

    def aside(self, request: Request) -> Reply:
        if not request.path.endswith("/models"):
            return refuses(404, f"Invalid URL ({request.method} {request.path})")
        listed = {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 1, "owned_by": "us"} for name in self.models],
        }
        return Reply([json.dumps(listed).encode()], headers=(("content-type", "application/json"),))

    def unstreamed(self, reply: Reply) -> Reply:
        return _joined(reply)


def _joined(stream: Reply) -> Reply:
    """What OpenAI answers to the same request without `stream`."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    finish, counted = "stop", usage()
    for frame in stream.frames:
        if not isinstance(frame, bytes) or frame == DONE:
            continue
        for choice in json.loads(frame[6:])["choices"]:
            finish = choice["finish_reason"] or finish
            _join(message, choice["delta"])
    body = chunk() | {
        "object": "chat.completion",
        "usage": counted,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    return Reply([json.dumps(body).encode()], headers=(("content-type", "application/json"),))


def _join(message: dict[str, Any], delta: dict[str, Any]) -> None:
    if delta.get("content"):
        message["content"] = (message["content"] or "") + delta["content"]
    for call in delta.get("tool_calls") or ():
        known = message.setdefault("tool_calls", [])
        if call["index"] == len(known):
            known.append({"id": call["id"], "type": "function", "function": dict(call["function"])})
        else:
            known[call["index"]]["function"]["arguments"] += call["function"]["arguments"]


@pytest.fixture
def openai_upstream() -> Iterator[Callable[..., OpenAIUpstream]]:
    """Starts providers; each ends with the test."""
    running: list[OpenAIUpstream] = []

    def start(default: Reply | None = None) -> OpenAIUpstream:
        running.append(OpenAIUpstream(default))
        return running[-1]

    yield start
    for upstream in running:
        upstream.close()
