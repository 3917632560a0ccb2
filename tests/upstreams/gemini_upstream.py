"""A provider for tests that is faithful to Gemini's wire."""

import json
from typing import Any

from .http_upstream import End, Gate, Reply, Request, Upstream

JSON = (("content-type", "application/json; charset=UTF-8"),)


def event(data: Any) -> bytes:
    """As Google sends them: CRLF, and characters beyond ASCII as they are."""
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()) + b"\r\n\r\n"


def usage(prompt: int = 11, candidates: int | None = 5, thoughts: int = 2, cached: int = 3) -> dict[str, Any]:
    counted = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "totalTokenCount": prompt + (candidates or 0) + thoughts,
        "cachedContentTokenCount": cached,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        "thoughtsTokenCount": thoughts,
    }
    return {name: value for name, value in counted.items() if value is not None}


def piece(*parts: dict[str, Any], finish: str | None = None, token: str | None = None, **more: Any) -> dict[str, Any]:
    """One event of a stream, with the fields that Gemini sends in each; `token`: what the answer may be gone on with."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    if token:
        candidate["continuationToken"] = token
    return {
        "candidates": [candidate],
        "usageMetadata": usage(),
        "modelVersion": "gemini-3-flash-preview",
        "responseId": "r3sponseId",
    } | more


def streams(*parts: dict[str, Any], finish: str | None = "STOP", pause: float = 0.0, end: End = "end") -> Reply:
    """A stream of these parts, one per event, the last with `finish`; with another `end` it stops before that."""
    last = len(parts) - 1
    frames: list[bytes | float | Gate] = []
    for place, part in enumerate(parts):
        if pause:
            frames.append(pause)
        frames.append(event(piece(part, finish=finish if place == last and end == "end" else None)))
    return Reply(frames, headers=(("content-type", "text/event-stream"),), end=end)


def says(text: str, *, size: int = 4, pause: float = 0.0, end: End = "end") -> Reply:
    """A stream that says `text` in pieces of `size` characters, `pause` seconds apart, and ends as Gemini 3 does: signed."""
    pieces = [{"text": text[i : i + size]} for i in range(0, len(text), size)]
    return streams(*pieces, {"text": "", "thoughtSignature": "c2lnbmVkIHRleHQ="}, pause=pause, end=end)


def call(name: str, arguments: dict[str, Any], signature: str = "", id_: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"functionCall": {"name": name, "args": arguments} | ({"id": id_} if id_ else {})}
    return made | ({"thoughtSignature": signature} if signature else {})


def calls(*wanted: tuple[str, dict[str, Any]], signature: str = "c2lnbmVkIGNhbGw=") -> Reply:
    """A stream that thinks, then calls these tools; as Gemini does it, the first call only is signed and none has an id."""
    thought = {"text": "I need a tool.", "thought": True}
    return streams(thought, *(call(name, args, "" if place else signature) for place, (name, args) in enumerate(wanted)))


def refuses(
    status: int, message: str = "no", named: str = "INVALID_ARGUMENT", *details: dict[str, Any], wrapped: bool = False
) -> Reply:
    """An error of the API, with Google's error body; `wrapped` in a list, as where no event stream was asked for."""
    error = {"code": status, "message": message, "status": named} | ({"details": list(details)} if details else {})
    body = {"error": error}
    return Reply([json.dumps([body] if wrapped else body).encode()], status, JSON)


def retry_in(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota(*ids: str) -> dict[str, Any]:
    """Which quotas are spent."""
    violations = [{"quotaMetric": "generativelanguage.googleapis.com/requests", "quotaId": id_} for id_ in ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


class GeminiUpstream(Upstream):
    """Answers `streamGenerateContent` with `alt=sse`, and lists its `models` two to a page."""

    def __init__(self, default: Reply | None = None) -> None:
        self.models = ["gemini-3-flash-preview", "gemini-2.5-pro", "text-embedding-004"]
        super().__init__(default or says("Hello from upstream."))

    def is_chat(self, request: Request) -> bool:
        return ":streamGenerateContent" in request.path

    def streams(self, request: Request) -> bool:
        return request.path.endswith("?alt=sse")

    def unstreamed(self, reply: Reply) -> Reply:
        frames = [frame.removeprefix(b"data: ").strip() for frame in reply.frames if isinstance(frame, bytes)]
        return Reply([b"[" + b",\r\n".join(frames) + b"]"], headers=JSON, end=reply.end)

    def aside(self, request: Request) -> Reply:
        if "/models?" not in request.path:
            return refuses(404, "", "NOT_FOUND")
        begin = int(request.path.partition("pageToken=")[2] or 0)
        listed: dict[str, Any] = {"models": [_described(name) for name in self.models[begin : begin + 2]]}
        if begin + 2 < len(self.models):
            listed["nextPageToken"] = str(begin + 2)
        return Reply([json.dumps(listed).encode()], headers=JSON)


def _described(name: str) -> dict[str, Any]:
    method = "embedContent" if "embedding" in name else "generateContent"
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": [method, "countTokens"],
    }
