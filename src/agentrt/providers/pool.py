"""The connections to one origin: kept open between requests, never more than so many, handed out in turn."""

import asyncio
import socket
import ssl
from collections import deque
from contextlib import suppress

import msgspec

from .connection import Connection
from .connection_failures import Broken, Unreachable

_NEXT_ADDRESS_S = 0.25
_CLOSE_S = 1.0


class Origin(msgspec.Struct, frozen=True):
    """Where connections lead. `host` without brackets; with `tls`, its certificate must be the host's."""

    host: str
    port: int
    tls: bool

    @property
    def name(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Pool:
    """At most `limit` connections. What `take` gave must come back by `give_back`.

    Idle ones are closed after `idle_s`, sooner than most servers do it: no request is sent into the closing.
    """

    def __init__(self, origin: Origin, *, limit: int, connect_s: float, idle_s: float = 30) -> None:
        self._origin, self._limit, self._connect_s, self._idle_s = origin, limit, connect_s, idle_s
        self._loop = asyncio.get_running_loop()
        self._places = 0  # taken: by connections, idle or in use, and by those who are connecting
        self._idle: dict[Connection, float] = {}  # and since when, the latest last
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._open: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None
        self._reading_roots = asyncio.Lock()
        self._closed = False
        self._emptied = asyncio.Event()

    async def take(self, connect_s: float | None = None) -> Connection:
        """One that is idle or a new one; whoever finds neither allowed waits in turn. Unreachable; Broken once closed."""
        if self._closed:
            raise Broken
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.idle:
                return connection
            self._places -= 1
        if self._places < self._limit:
            self._places += 1
        elif (handed := await self._turn()) is not None and handed.idle:
            return handed
        try:
            return await self.connect(connect_s)
        except BaseException:
            self._pass_on(None)
            raise

    async def connect(self, connect_s: float | None = None) -> Connection:
        """A new one, for a caller who has a place already."""
        try:
            async with asyncio.timeout(connect_s or self._connect_s):
                connection = await self._connected()
        except (OSError, UnicodeError) as exc:
            raise Unreachable(self._origin.name, exc) from exc
        if connection.idle:  # else it is over already
            self._open.add(connection)
        if self._closed:
            connection.hang_up()
            raise Broken
        return connection

    def give_back(self, connection: Connection) -> None:
        """The next may have it if its answer was read to the end; it is closed at once if not."""
        if not self._closed and connection.rest():
            self._pass_on(connection)
        else:
            connection.hang_up()
            self._pass_on(None)

    async def close(self) -> None:
        """Close every connection, also those in use; whoever waits gets Broken."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for turn in self._queue:
            if not turn.done():
                turn.set_exception(Broken())
        self._idle.clear()
        for connection in tuple(self._open):
            connection.hang_up()
        if self._open:
            self._emptied.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._emptied.wait()

    async def _turn(self) -> Connection | None:
        """Wait for a place: with the connection that has it, or None where one is still to be made."""
        turn = self._loop.create_future()
        self._queue.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                with suppress(Broken):
                    self._pass_on(turn.result())  # our turn came as we left
            else:
                self._queue.remove(turn)
            raise

    def _pass_on(self, connection: Connection | None) -> None:
        """Give a place, with its connection or without, to who has waited longest."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is None:
            self._places -= 1
            return
        self._idle[connection] = self._loop.time()
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._close_idle)

    def _close_idle(self) -> None:
        self._sweep = None
        now = self._loop.time()
        for connection, since in tuple(self._idle.items()):
            if now < since + self._idle_s:
                self._sweep = self._loop.call_at(since + self._idle_s, self._close_idle)
                return
            connection.hang_up()
            self._forget(connection)

    def _over(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._forget(connection)
        if not self._open:
            self._emptied.set()

    def _forget(self, connection: Connection) -> None:
        if self._idle.pop(connection, None) is not None:
            self._places -= 1

    async def _connected(self) -> Connection:
        from aiohappyeyeballs import start_connection

        origin, loop = self._origin, self._loop
        tls = await self._context() if origin.tls else None
        addresses = await _addresses(loop, origin)
        sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1, loop=loop)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a model may think longer than a router remembers
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self._over), sock=sock, ssl=tls, server_hostname=origin.host if tls else None
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _context(self) -> ssl.SSLContext:
        # In a thread: reading the roots that the system trusts takes 15 ms.
        async with self._reading_roots:
            if self._tls is None:
                self._tls = await asyncio.to_thread(ssl.create_default_context)
                self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


async def _addresses(
    loop: asyncio.AbstractEventLoop, origin: Origin
) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
    try:  # an address needs no resolver, and so no thread
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    return found  # pyright: ignore[reportReturnType]  # the other shape is of a Python without IPv6
