"""A provider for tests that is faithful to Anthropic's models on Amazon Bedrock: other addresses, other framing."""

import json
import zlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from .anthropic_upstream import says
from .http_upstream import End, Reply, Request, Upstream

STREAM = (("content-type", "application/vnd.amazon.eventstream"),)


def frame(headers: Mapping[str, str], payload: bytes, *, before: bytes = b"") -> bytes:
    """One message of the stream; `before` are raw headers that come first."""
    named = before + b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in headers.items()
    )
    prelude = (16 + len(named) + len(payload)).to_bytes(4, "big") + len(named).to_bytes(4, "big")
    whole = prelude + zlib.crc32(prelude).to_bytes(4, "big") + named + payload
    return whole + zlib.crc32(whole).to_bytes(4, "big")


def chunk(data: dict[str, Any]) -> bytes:
    payload = {"bytes": b64encode(json.dumps(data).encode()).decode(), "p": "abcdefgh"}
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(payload).encode())


def exception(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def wrapped(reply: Reply, *more: bytes, end: End = "end") -> Reply:
    """What Bedrock makes of a stream of the Messages API."""
    events = [json.loads(each.partition(b"data: ")[2]) for each in reply.frames if isinstance(each, bytes)]
    return Reply([*map(chunk, events), *more], headers=STREAM, end=end)


class BedrockUpstream(Upstream):
    """Answers `invoke-with-response-stream`."""

    def __init__(self) -> None:
        super().__init__(wrapped(says("Hello from upstream.")))

    def is_chat(self, request: Request) -> bool:
        return request.path.endswith("/invoke-with-response-stream")

    def streams(self, request: Request) -> bool:
        return self.is_chat(request)

    def aside(self, request: Request) -> Reply:
        return Reply([b'{"message":"no such address"}'], 404, (("content-type", "application/json"),))
