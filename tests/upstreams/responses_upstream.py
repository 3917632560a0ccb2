"""A provider for tests that is faithful to the wire of OpenAI's Responses API."""

import json
from itertools import count
from typing import Any

from .http_upstream import End, Gate, Reply, Request, Upstream

JSON = (("content-type", "application/json"),)
MODEL = "gpt-5.5-2026-04-23"
ENCRYPTED = "gAAAAABpHs0_aGVsbG8gd29ybGQ-encrypted=="

Item = dict[str, Any]


def event(data: dict[str, Any]) -> bytes:
    """As OpenAI sends them: named, and with characters beyond ASCII escaped nowhere."""
    return f"event: {data['type']}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def usage(given: int = 11, output: int = 7, cached: int = 3, reasoning: int = 2, written: int = 4) -> dict[str, Any]:
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + output,
    }


def response(status: str, output: list[Item], **more: Any) -> dict[str, Any]:
    """A response with the fields that OpenAI sends."""
    return {
        "id": "resp_0a1b2c3d",
        "object": "response",
        "created_at": 1780000000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": "detailed"},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage() if status in ("completed", "incomplete") else None,
        "user": None,
        "metadata": {},
    } | more


def message(text: str, *, annotations: tuple[Item, ...] = (), **more: Any) -> Item:
    content = [{"type": "output_text", "annotations": list(annotations), "logprobs": [], "text": text}]
    return {"id": "msg_up", "type": "message", "status": "completed", "content": content, "role": "assistant"} | more


def refusal(text: str) -> Item:
    return message("", content=[{"type": "refusal", "refusal": text}])


def reasoning(*summary: str, encrypted: str | None = ENCRYPTED) -> Item:
    told = [{"type": "summary_text", "text": text} for text in summary]
    return {"id": "rs_up", "type": "reasoning", "encrypted_content": encrypted, "summary": told}


def call(place: int, name: str, arguments: Any) -> Item:
    """A call; `arguments` may be broken JSON text."""
    said = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    ids = {"id": f"fc_up{place}", "call_id": f"call_up{place}"}
    return {**ids, "type": "function_call", "status": "completed", "arguments": said, "name": name}


def told(index: int, item: Item, size: int = 4) -> list[dict[str, Any]]:
    """The events of one item, its text in pieces of `size` characters."""
    at = {"item_id": item["id"], "output_index": index}
    begun: Item = item | {"status": "in_progress"}
    out: list[dict[str, Any]] = []
    match item["type"]:
        case "message":
            begun["content"] = []
            for place, part in enumerate(item["content"]):
                out += _part(at | {"content_index": place}, part, size)
        case "function_call":
            begun["arguments"] = ""
            pieces = _cut(item["arguments"], size)
            out += [at | {"type": "response.function_call_arguments.delta", "delta": piece} for piece in pieces]
            out.append(at | {"type": "response.function_call_arguments.done", "arguments": item["arguments"]})
        case "reasoning":
            begun["summary"] = []
            for place, part in enumerate(item["summary"]):
                out += _summary(at | {"summary_index": place}, part, size)
        case _:
            pass
    added = {"type": "response.output_item.added", "output_index": index, "item": begun}
    return [added, *out, {"type": "response.output_item.done", "output_index": index, "item": item}]


def _part(at: dict[str, Any], part: Item, size: int) -> list[dict[str, Any]]:
    if part["type"] == "refusal":
        kind, name = "response.refusal", "refusal"
    else:
        kind, name = "response.output_text", "text"
    more: dict[str, Any] = {} if name == "refusal" else {"logprobs": []}
    deltas = [at | {"type": f"{kind}.delta", "delta": piece} | more for piece in _cut(part[name], size)]
    return [
        at | {"type": "response.content_part.added", "part": part | {name: ""}},
        *deltas,
        at | {"type": f"{kind}.done", name: part[name]} | more,
        at | {"type": "response.content_part.done", "part": part},
    ]


def _summary(at: dict[str, Any], part: Item, size: int) -> list[dict[str, Any]]:
    kind = "response.reasoning_summary"
    return [
        at | {"type": f"{kind}_part.added", "part": part | {"text": ""}},
        *(at | {"type": f"{kind}_text.delta", "delta": piece} for piece in _cut(part["text"], size)),
        at | {"type": f"{kind}_text.done", "text": part["text"]},
        at | {"type": f"{kind}_part.done", "part": part},
    ]


def _cut(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def ending(how: str, items: tuple[Item, ...], **more: Any) -> dict[str, Any]:
    return {"type": f"response.{how}", "response": response(how, list(items)) | more}


def streams(
    *items: Item, status: str | None = "completed", size: int = 4, pause: float = 0.0, end: End = "end", **more: Any
) -> Reply:
    """A whole stream of these items; with another `end`, or `status` None, it stops after them."""
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response("in_progress", [])},
        {"type": "response.in_progress", "response": response("in_progress", [])},
    ]
    for index, item in enumerate(items):
        events += told(index, item, size)
    whole = status is not None and end == "end"
    if whole:
        events.append(ending(status or "", items, **more))
    else:
        events.pop()  # the last item is not over
    number = count()
    frames: list[bytes | float | Gate] = []
    for each in events:
        if pause and each["type"].endswith("delta"):
            frames.append(pause)
        frames.append(event(each | {"sequence_number": next(number)}))
    return Reply(frames, end=end)


def says(said: str, *, size: int = 4, pause: float = 0.0, end: End = "end") -> Reply:
    """A stream that says `said` in pieces of `size` characters, `pause` seconds apart."""
    return streams(message(said), size=size, pause=pause, end=end)


def calls(*wanted: tuple[str, dict[str, Any]], think: bool = True) -> Reply:
    """A stream that reasons, then calls these tools."""
    before = [reasoning("I need a tool.")] if think else []
    return streams(*before, *(call(place, name, arguments) for place, (name, arguments) in enumerate(wanted)))


def refuses(status: int, why: str = "no", code: str | None = None, *, retry_after: str | None = None) -> Reply:
    """An error of the API, with OpenAI's error body."""
    body = {"error": {"message": why, "type": "invalid_request_error", "param": None, "code": code}}
    headers = (*JSON, ("retry-after", retry_after)) if retry_after else JSON
    return Reply([json.dumps(body).encode()], status, headers)


def data_of(frame: Any) -> dict[str, Any]:
    return json.loads(frame.partition(b"data: ")[2]) if isinstance(frame, bytes) else {}


class ResponsesUpstream(Upstream):
    """Answers `/v1/responses`, streamed or not, and lists its `models`."""

    def __init__(self, default: Reply | None = None) -> None:
        self.models = [MODEL, "gpt-4o"]
        super().__init__(default or says("Hello from upstream."))

    @property
    def base_url(self) -> str:
        return super().base_url + "/v1"

    def is_chat(self, request: Request) -> bool:
        return request.path == "/v1/responses"

    def aside(self, request: Request) -> Reply:
        if request.path != "/v1/models":
            return refuses(404, f"Invalid URL ({request.method} {request.path})")
        listed = [{"id": name, "object": "model", "created": 1, "owned_by": "us"} for name in self.models]
        return Reply([json.dumps({"object": "list", "data": listed}).encode()], headers=JSON)

    def unstreamed(self, reply: Reply) -> Reply:
        last = data_of(reply.frames[-1])
        return Reply([json.dumps(last["response"]).encode()], headers=JSON)
