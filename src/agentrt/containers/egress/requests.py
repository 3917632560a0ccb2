"""What comes over a box's socket, read as strictly as HTTP allows: a request that two readers could read in two ways is none.

The parser refuses bare CR and LF, NUL, folded lines, repeated or odd lengths, a length beside chunks, and malformed chunks.
What it lets through although it says nothing here is refused below.
"""

import asyncio
from collections import deque

import httptools
import msgspec

Headers = tuple[tuple[bytes, bytes], ...]

MOST_HEAD = 65_536
MOST_TARGET = 8192
PIECE = 65_536
HEAD_S, SILENT_S = 30.0, 300.0
_END = b""


class Refused(Exception):
    """A request that is answered with `status` and a sentence, and the stable word for why. `last`: nothing can follow it."""

    def __init__(self, status: int, reason: str, message: str, *, wait_s: float = 0.0, last: bool = False) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.wait_s, self.last = status, reason, message, wait_s, last


class Head(msgspec.Struct, frozen=True):
    """A request without its body. `target` is as it was sent; names of headers are lower case; `length` is that of the body,
    None where it comes in chunks."""

    method: str
    target: bytes
    headers: Headers
    length: int | None
    keep_alive: bool

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class Requests:
    """The requests of one connection, one after the other. `unread`: the body of the newest was not read to its end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._reading = asyncio.Lock()
        self._parser = httptools.HttpRequestParser(self)
        self._events: deque[Head | bytes] = deque()
        self._target, self._headers, self._size = b"", [], 0
        self._in_trailer = False
        self._failed: Refused | None = None
        self._ended = False
        self.unread = False
        self.tunnelled = b""

    async def head(self, within_s: float = HEAD_S) -> Head | None:
        """The next request; None where the connection ends. Refused where it is none. After CONNECT, `tunnelled` is what came
        behind it."""
        try:
            async with asyncio.timeout(within_s):
                event = await self._next()
        except TimeoutError:
            return None
        assert not isinstance(event, bytes), "the body before was read to its end"
        if event is not None and event.length == 0:
            self._events.popleft()  # its end came with it
        self.unread = event is not None and event.length != 0
        return event

    async def body(self) -> bytes:
        """The next piece of the body; empty at its end. Refused where it is malformed, cut short, or does not come."""
        if not self.unread:
            return b""
        try:
            async with asyncio.timeout(SILENT_S):
                event = await self._next()
        except TimeoutError:
            raise Refused(408, "too_slow", "the rest of the body did not come", last=True) from None
        if event is None:
            raise Refused(400, "cut_short", "the connection ended within the body", last=True)
        assert isinstance(event, bytes), "a head follows an end"
        self.unread = event != _END
        return event

    @property
    def left_over(self) -> bool:
        """Whether something was sent that is no answered request."""
        return self.unread or self._failed is not None

    async def gone(self) -> None:
        """Return once the other side has closed its end. What it sends meanwhile is kept for later."""
        while not self._ended and len(self._events) < 16:
            await self._fill()
        if not self._ended:
            await asyncio.Event().wait()  # it talks on, so it is there

    async def rest(self) -> None:
        """Return once the other side has closed its end. What it sends meanwhile is lost."""
        async with self._reading:  # who watched for a hang-up may still be about to stop
            while await self._reader.read(PIECE):
                pass

    async def _next(self) -> Head | bytes | None:
        """None at the end of the connection."""
        while not self._events:
            if self._failed is not None:
                raise self._failed
            if self._ended:
                return None
            await self._fill()
        return self._events.popleft()

    async def _fill(self) -> None:
        async with self._reading:  # who watched for a hang-up may still be about to stop
            data = await self._reader.read(PIECE)
        if not data:
            self._ended = True
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self.tunnelled = data[exc.args[0] :]
        except httptools.HttpParserError as exc:
            # a refusal of ours comes wrapped into one of the parser
            own = exc.__context__ if isinstance(exc.__context__, Refused) else None
            self._failed = own or Refused(400, "malformed", "this is no HTTP request that can be taken", last=True)
        if self._size > MOST_HEAD and not self._events:
            self._failed = self._failed or Refused(431, "head_too_large", f"a head has at most {MOST_HEAD} bytes", last=True)

    # what the parser calls

    def on_message_begin(self) -> None:
        self._target, self._headers, self._in_trailer = b"", [], False

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_trailer:
            raise Refused(400, "trailer", "trailers are not taken", last=True)
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_trailer, self._size = True, 0
        method = self._parser.get_method().decode("ascii")
        head = Head(
            method=method,
            target=self._target,
            headers=tuple(self._headers),
            length=_length(self._headers),
            keep_alive=self._parser.should_keep_alive(),
        )
        _check(head, self._parser.get_http_version())
        self._events.append(head)

    def on_body(self, data: bytes) -> None:
        self._size = 0
        self._events.append(data)

    def on_message_complete(self) -> None:
        self._size = 0
        self._events.append(_END)


def _length(headers: list[tuple[bytes, bytes]]) -> int | None:
    by_name = dict(headers)
    if b"transfer-encoding" in by_name:
        return None
    return int(by_name.get(b"content-length", b"0"))


def _check(head: Head, version: str) -> None:
    """Refused for what the parser takes and this socket does not."""
    if version != "1.1":
        raise Refused(505, "version", "only HTTP/1.1 is spoken here", last=True)
    if len(head.values(b"host")) != 1:
        raise Refused(400, "host", "a request has one Host header", last=True)
    if head.length is None and [v.strip().lower() for v in head.values(b"transfer-encoding")] != [b"chunked"]:
        raise Refused(501, "transfer_encoding", "the only transfer encoding is chunked", last=True)
    if head.method == "TRACE":
        raise Refused(405, "method_not_allowed", "TRACE shows what is added outside", last=True)
    if len(head.target) > MOST_TARGET:
        raise Refused(414, "target_too_long", f"a target has at most {MOST_TARGET} characters", last=True)
    if head.method != "CONNECT" and any(name == b"upgrade" for name, _ in head.headers):
        raise Refused(501, "upgrade", "no other protocol is spoken here", last=True)
    if head.values(b"expect") and head.values(b"expect") != [b"100-continue"]:
        raise Refused(417, "expect", "the only expectation is 100-continue", last=True)
