"""One request of a box and its answer, with what of either has flowed."""

import asyncio
import http
import time
from collections.abc import Iterable

import msgspec

from .meter import Meter
from .relay import send
from .requests import Head, Refused, Requests

UNREAD_S = 300.0
_BODYLESS = frozenset({204, 304})


class Exchange:
    """`upstream` and `path` are what the audit will say; `meter` counts bytes, once it is known whose. `outside` is how the
    other side of a tunnel is reached."""

    def __init__(self, head: Head, requests: Requests, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head, self.requests, self.reader, self.writer = head, requests, reader, writer
        self.upstream, self.path, self.reason = "", head.target.partition(b"?")[0].decode("latin-1")[:500], ""
        self.status = self.sent = self.received = 0
        self.meter: Meter | None = None
        self.began_at = time.perf_counter()
        self.keep_alive = head.keep_alive
        self._chunked = self._bodyless = self._ended = False
        self._continue = bool(head.values(b"expect"))

    @property
    def duration_ms(self) -> float:
        return round((time.perf_counter() - self.began_at) * 1e3, 3)

    async def body(self) -> bytes:
        """The next piece of the request's body; empty at its end."""
        if self._continue and self.requests.unread:
            self._continue = False
            send(self.writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        data = await self.requests.body()
        self.sent += len(data)
        self.spend(len(data))
        return data

    def spend(self, size: int) -> None:
        """Refused once the day's bytes are used up."""
        if self.meter is not None and not self.meter.spend(size):
            raise Refused(429, "bytes_per_day", "the bytes of this day are used up", last=True)

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]], length: int | None) -> None:
        """The head of the answer. `length` None: the body's length is not known, and it goes out in chunks."""
        self.status = status
        self._bodyless = status in _BODYLESS or self.head.method == "HEAD"
        self._chunked = length is None and not self._bodyless
        if self.requests.unread:  # what follows could not be told from the rest of this body
            self.keep_alive = False
        lines = [f"HTTP/1.1 {status} {_phrase(status)}\r\n".encode()]
        lines += [b"%b: %b\r\n" % header for header in headers]
        if self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif length is not None and status not in _BODYLESS:
            lines.append(b"content-length: %d\r\n" % length)
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        send(self.writer, b"".join(lines))

    async def write(self, data: bytes) -> None:
        if not data or self._bodyless:
            return
        self.received += len(data)
        self.spend(len(data))
        send(self.writer, b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._drained()

    async def end(self) -> None:
        if self._chunked:
            send(self.writer, b"0\r\n\r\n")
        self._ended = True
        await self._drained()

    async def refuse(self, refused: Refused) -> None:
        """Answer with a refusal; an answer that was begun already is cut short instead."""
        self.reason = refused.reason
        self.keep_alive = self.keep_alive and not refused.last
        if self._ended:
            return
        if self.status:
            self.abort()
            return
        body = refusal_body(refused)
        headers = [(b"content-type", b"application/json")]
        if refused.wait_s:
            headers.append((b"retry-after", b"%d" % max(1, round(refused.wait_s))))
        self.begin(refused.status, headers, len(body))
        if self.head.method != "HEAD":
            send(self.writer, body)
        self._ended = True
        await self._drained()

    async def _drained(self) -> None:
        """ConnectionError where the box does not read what it asked for."""
        try:
            async with asyncio.timeout(UNREAD_S):
                await self.writer.drain()
        except TimeoutError:
            raise ConnectionAbortedError("the box does not read") from None

    def abort(self) -> None:
        self.keep_alive = False
        self.writer.transport.abort()


def refusal_body(refused: Refused) -> bytes:
    """In OpenAI's form, which the SDKs that are used inside can read."""
    error = {"message": refused.message, "type": "egress_refused", "param": None, "code": refused.reason}
    return msgspec.json.encode({"error": error})


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
