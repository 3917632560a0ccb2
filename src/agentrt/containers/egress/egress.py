"""The way out of boxes: one socket each, which is the identity of whoever speaks on it."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from agentrt.files import Resolve, system_resolve

from ..spec import Upstream
from .audit import Audit, Record
from .connections import Connections
from .exchange import Exchange
from .gateway import Application, is_meant, serve_models
from .grant import Grant
from .meter import Load, Meter, Meters
from .relay import Ends, end
from .requests import Head, Refused, Requests
from .table import Table, first_segment, split_target
from .tunnel import Tunnels
from .upstreams import Upstreams

SOCKET = "proxy.sock"
MOST_CONNECTIONS = 64
MOST_HELD = 64 * 1024 * 1024
MODEL_REQUESTS_PER_MINUTE = 600
IDLE_S = 300.0
_AUDIT_S, _LINGER_S = 5.0, 1.0


class _Box:
    """What may be reached from a box now, and the connections it has here."""

    def __init__(self, path: Path, audit: Audit, connections: Connections) -> None:
        self.path, self.audit, self.connections = path, audit, connections
        self.grant: Grant | None = None
        self.load = Load(MOST_HELD)


class Egress:
    """Every box's way out: an async context manager. `application` gives our own ASGI application, once there is one.

    Invalid where an upstream is written wrong. `env` holds the credentials; nothing of it ever enters a box.
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        env: Mapping[str, str],
        application: Callable[[], Application],
        record: Record,
        *,
        resolve: Resolve = system_resolve,
        inner_hosts: Sequence[str] = (),
        tls_port: int = 443,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table, self._application, self._record, self._now = Table(upstreams, env), application, record, now
        self._meters = Meters(now)
        self._tunnels = Tunnels(self._meters, resolve, inner_hosts, tls_port)
        self._group = asyncio.TaskGroup()
        self._upstreams = Upstreams(self._group, self._table.origins)
        self._boxes: dict[str, _Box] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for box_id in list(self._boxes):
            await self.close(box_id)
        await self._upstreams.close()
        await self._group.__aexit__(None, None, None)

    async def open(self, box_id: str, folder: Path) -> None:
        """Make `folder/proxy.sock`, before the box starts. Until `bind` every request is refused."""
        connections = Connections(self._group, MOST_CONNECTIONS, lambda ends: self._requests(box, ends), "egress")
        box = self._boxes[box_id] = _Box(folder / SOCKET, Audit(box_id, self._record, self._now), connections)
        connections.listen(_socket_in(folder))

    async def listen(self, box_id: str, listener: socket.socket) -> None:
        """Answer also on this TCP socket, which listens inside the box: whoever reaches it is in there. It is closed with the
        box; at once, where that is not open."""
        box = self._boxes.get(box_id)
        if box is None:
            listener.close()
        else:
            box.connections.listen(listener)

    async def bind(self, box_id: str, grant: Grant | None) -> None:
        """From now on the box may reach what `grant` says; None: nothing again. Requests that are under way go on. Fine for one
        that is not open."""
        box = self._boxes.get(box_id)
        if box is not None:
            box.grant = grant

    async def close(self, box_id: str) -> None:
        """End the socket and what flows through it. Fine for one that is not open."""
        box = self._boxes.pop(box_id, None)
        if box is None:
            return
        box.grant = None
        await box.connections.close(_AUDIT_S)
        with suppress(OSError):
            box.path.unlink(missing_ok=True)

    async def _requests(self, box: _Box, ends: Ends) -> None:
        """All that come over one connection."""
        reader, writer = ends
        requests = Requests(reader)
        within_s = None
        while (head := await self._head(box, requests, reader, writer, within_s)) is not None:
            within_s = IDLE_S
            exchange = Exchange(head, requests, reader, writer)
            grant = box.grant
            try:
                await self._answer(grant, exchange, box.load)
            finally:
                await _within(box.audit.tell(grant, exchange))
            if not exchange.keep_alive or requests.unread:
                break
        if requests.left_over:
            await _linger(requests, writer)

    async def _head(
        self, box: _Box, requests: Requests, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, within_s: float | None
    ) -> Head | None:
        """The next request; None where the connection is over, also because of what it sent."""
        try:
            return await (requests.head() if within_s is None else requests.head(within_s))
        except Refused as exc:
            exchange = Exchange(Head("", b"", (), 0, False), requests, reader, writer)
            try:
                await exchange.refuse(exc)
            finally:
                await _within(box.audit.tell(box.grant, exchange))
            return None

    async def _answer(self, grant: Grant | None, exchange: Exchange, load: Load) -> None:
        try:
            if grant is None:
                raise Refused(403, "not_bound", "nothing can be reached from here now", last=True)
            await self._lead(grant, exchange, load)
        except Refused as exc:
            await exchange.refuse(exc)
        except OSError:
            exchange.reason = exchange.reason or "hung_up"
            exchange.abort()

    async def _lead(self, grant: Grant, exchange: Exchange, load: Load) -> None:
        """To where the request's target says, if the grant lets it."""
        head = exchange.head
        sandbox = (grant.who.tenant, grant.who.user, grant.session)
        if head.method == "CONNECT":
            await self._tunnels.open(exchange, grant.rule.hosts, sandbox)
            return
        if is_meant(head.target):
            self._count(exchange, self._meters.of((*sandbox, "models"), MODEL_REQUESTS_PER_MINUTE, 1 << 62), "models")
            await serve_models(self._application(), exchange, grant, load)
            return
        path, query = split_target(head.target)
        name, rest = first_segment(path)
        exchange.upstream = name[:64]  # as long as one can be
        way = self._table.find(name, grant.rule.upstreams)
        way.check(head.method, rest)
        limits = way.spec.requests_per_minute, way.spec.bytes_per_day
        self._count(exchange, self._meters.of((*sandbox, "upstream", name), *limits), name)
        await self._upstreams.ask(exchange, way, rest, query)

    def _count(self, exchange: Exchange, meter: Meter, name: str) -> None:
        exchange.upstream, exchange.meter = name, meter
        if (used_up := meter.refuse()) is not None:
            raise Refused(429, used_up[0], f"too much was asked of {name}", wait_s=used_up[1])


def _socket_in(folder: Path) -> socket.socket:
    """A socket in `folder`, however long that path is; whoever sees the folder may connect, which is the box alone."""
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        short = f"/proc/self/fd/{place}/{SOCKET}"
        with suppress(FileNotFoundError):
            os.unlink(short)
        listener.bind(short)
        os.chmod(short, 0o666)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(place)
    return listener


async def _linger(requests: Requests, writer: asyncio.StreamWriter) -> None:
    """Let the box read why it was refused: closing with something unread would take the answer away again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            end(writer)
            await requests.rest()


async def _within(telling: Awaitable[None]) -> None:
    """See an audit through, for a bounded time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_AUDIT_S):
            await telling
