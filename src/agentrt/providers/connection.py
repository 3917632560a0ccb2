"""One HTTP/1.1 connection: a request goes out, its answer comes in, and only then the next.

The parser appends each part of a body to one list, and a reader takes all of it at once: what a server cut into many
chunks but sent in one go costs one read.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .connection_failures import Broken, HttpFailure, NotHttp

# A reader that falls behind by this much lets the sender wait.
_MOST_HELD = 256 * 1024

# A connection that the peer had given up breaks at once; after this long it was at work on what it was asked.
_STALE_S = 5.0

# Head, trailers or chunk extensions: what carries no body must end somewhere.
_MOST_HEAD = 64 * 1024


class Connection(asyncio.Protocol):
    """`lost` is called once, when the connection is over, with the connection. `reused`: it has served before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[["Connection"], None]) -> None:
        self._loop, self._lost = loop, lost
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)
        # As other clients do: what odd servers send is read as long as it is clear.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._waiter: asyncio.Future[None] | None = None
        self._failure: HttpFailure | None = None
        self._paused = False
        self._expecting = False
        self.reused = False
        self._expect()

    def _expect(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}  # by lower-case name
        self._heard = self._begun = self._complete = self._lasting = False
        self._held = self._head_size = self._bare = 0
        self._asked = self._loop.time()

    # What its user asks of it.

    @property
    def idle(self) -> bool:
        """Whether it can take a request now."""
        return not self._expecting and self._failure is None and not self._transport.is_closing()

    @property
    def ended(self) -> bool:
        """Whether the answer was read to its end."""
        return self._complete and not self._pieces

    @property
    def stale(self) -> bool:
        """Whether it broke as connections break that the peer had given up: used before, soon, and not one byte came back."""
        return self.reused and not self._heard and self._loop.time() - self._asked < _STALE_S

    async def ask(self, request: bytes) -> None:
        """Send a whole request; returns once the head of its answer is here. HttpFailure where none comes."""
        self._expect()
        self._expecting = True
        self._transport.write(request)
        while not self._begun:
            if self._failure is not None:
                raise self._failure
            await self._news()

    async def read(self) -> bytes:
        """All that has come of the body since the last read; empty at its end. HttpFailure where it breaks off."""
        pieces = self._pieces
        while not pieces:
            if self._complete:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._news()
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return piece

    def rest(self) -> bool:
        """The answer is over: whether the connection can take another request."""
        if not (self.ended and self._lasting) or self._failure is not None or self._transport.is_closing():
            return False
        self._expecting = False
        self.reused = True
        return self._transport.get_write_buffer_size() == 0  # an answer may come before the request is sent

    def hang_up(self) -> None:
        """Close at once, whatever is under way; whoever reads gets Broken."""
        self._failure = self._failure or Broken()
        self._transport.abort()
        self._wake()

    # What the loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        if not self._expecting:
            self.hang_up()  # nobody asked: most often a complaint before the peer closes
            return
        self._heard = True
        before = len(self._pieces)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._spoil()
        else:
            self._weigh(len(data), len(self._pieces) > before)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._failure is None and self._begun and not self._framed():
            self._complete = True  # such a body ends with its connection
        self._failure = self._failure or Broken()
        del self._parser  # it refers to us
        self._wake()
        self._lost(self)

    # What the parser tells it.

    def on_message_begin(self) -> None:
        if self._complete:
            raise NotHttp("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > _MOST_HEAD:
            raise NotHttp("the head does not end")
        if not self._begun:  # trailers are of no use here
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._begun = self.status >= 200

    def on_message_complete(self) -> None:
        if self._begun:
            self._complete = True
            self._lasting = self._parser.should_keep_alive()
        else:
            self.headers.clear()  # of an interim answer; the real one is still to come
            self._head_size = 0

    def _framed(self) -> bool:
        coding = self.headers.get(b"transfer-encoding")
        return coding.lower().endswith(b"chunked") if coding is not None else b"content-length" in self.headers

    def _weigh(self, size: int, has_body: bool) -> None:
        """Bound what is kept: the body by letting the peer wait, everything else by refusing it."""
        if has_body:
            self._bare = 0
            self._held += size
            if self._held > _MOST_HELD and not (self._paused or self._complete):
                self._paused = True
                self._transport.pause_reading()
        elif not self._complete:
            self._bare += size
            if self._bare > _MOST_HEAD:
                self._spoil()

    def _spoil(self) -> None:
        """What came makes no sense. It does not harm an answer that is already complete, only the connection."""
        self._failure = self._failure or NotHttp()
        self._transport.abort()

    def _news(self) -> asyncio.Future[None]:
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
