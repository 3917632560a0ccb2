"""Amazon's binary event stream, in which Bedrock wraps the events of the Messages API, as server-sent events. Pure."""

import zlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import msgspec

from .connection_failures import NotHttp

_PRELUDE, _CRC = 12, 4
# No event is near this size.
_MOST = 32 * 1024 * 1024
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_SIZED = (6, 7)
_KINDS = {
    "throttlingException": "rate_limit_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
    "validationException": "invalid_request_error",
}


class _Payload(msgspec.Struct):
    bytes: str = ""
    message: str = ""


_decode = msgspec.json.Decoder(_Payload).decode


class AwsEvents:
    """Feed it what was read, get what the same events would be as server-sent ones."""

    def __init__(self) -> None:
        self._open = b""

    def feed(self, piece: bytes) -> bytes:
        """The events that `piece` completes; empty where there are none. NotHttp for what is no such stream."""
        data = self._open + piece
        out: list[bytes] = []
        while len(data) >= _PRELUDE:
            size = int.from_bytes(data[:4], "big")
            if zlib.crc32(data[:8]) != int.from_bytes(data[8:_PRELUDE], "big") or size > _MOST:
                raise NotHttp("it sent a damaged event stream")
            if len(data) < size:
                break
            out.append(_event(data[:size]))
            data = data[size:]
        self._open = data
        return b"".join(out)


def _event(frame: bytes) -> bytes:
    body = len(frame) - _CRC
    if zlib.crc32(frame[:body]) != int.from_bytes(frame[body:], "big"):
        raise NotHttp("it sent a damaged event stream")
    end = _PRELUDE + int.from_bytes(frame[4:8], "big")
    headers = dict(_headers(frame[_PRELUDE:end]))
    try:
        payload = _decode(frame[end:body])
        if headers.get(":message-type", "event") == "event":
            return _sse(b64decode(payload.bytes, validate=True)) if payload.bytes else b""
    except (msgspec.MsgspecError, ValueError) as exc:
        raise NotHttp("it sent a damaged event stream") from exc
    kind = headers.get(":exception-type") or headers.get(":error-code", "")
    said: dict[str, Any] = {"type": _KINDS.get(kind, "api_error"), "message": payload.message or kind}
    return _sse(msgspec.json.encode({"type": "error", "error": said}))


def _sse(data: bytes) -> bytes:
    return b"data: " + data.replace(b"\n", b" ") + b"\n\n"


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """The headers whose values are texts, which are those that matter."""
    place = 0
    while place < len(data):
        end = place + 1 + data[place]
        name, kind = data[place + 1 : end].decode(errors="replace"), data[end]
        place = end + 1
        if kind in _SIZED:
            size = int.from_bytes(data[place : place + 2], "big")
            yield name, data[place + 2 : place + 2 + size].decode(errors="replace")
            place += 2 + size
        elif kind in _FIXED:
            place += _FIXED[kind]
        else:
            raise NotHttp("it sent a damaged event stream")
