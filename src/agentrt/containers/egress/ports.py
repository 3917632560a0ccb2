"""Ports of boxes, published on this machine's loopback: each is an origin of its own, and its box keeps no network."""

import asyncio
import socket
from contextlib import suppress
from typing import Protocol, Self

from agentrt.kernel import Conflict, Exhausted

from ..errors import SandboxGone
from .connections import Connections
from .heads import Untrusted
from .passage import Passage
from .relay import Ends, close, send

HOST = "127.0.0.1"
MOST_PORTS, MOST_CONNECTIONS = 512, 128
IDLE_S, _CLOSED_S = 300.0, 2.0


class Line(Protocol):
    """What a port needs of the way into a box (`RunnerLink`)."""

    lost: asyncio.Event

    async def dial(self, port: int) -> socket.socket:
        """ConnectionRefusedError where nothing listens; SandboxGone once it is lost."""
        ...


class _Published:
    """A port of ours, and the port of the box behind it. `link` is that of the newest start."""

    def __init__(self, link: Line, inside: int, connections: Connections) -> None:
        self.link, self.inside, self.connections = link, inside, connections


class Ports:
    """An async context manager that owns every listener and every connection."""

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._group = asyncio.TaskGroup()
        self._published: dict[int, _Published] = {}
        self._ever: set[int] = set()
        self._idle_s = idle_s

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for port in list(self._published):
            await self.withdraw(port)
        await self._group.__aexit__(None, None, None)

    async def publish(self, link: Line, port: int, preferred: int = 0) -> int:
        """Forward a port of 127.0.0.1 to `port` inside the box; which one. `preferred` is the one that was given before: a box
        that is started again keeps it. While its box is gone, a port hangs up on whoever calls.

        Conflict where another program has taken the preferred one, Exhausted where too many are published.
        """
        known = self._published.get(preferred)
        if known is not None and (known.link.lost.is_set() or known.link is link):
            known.link, known.inside = link, port
            return preferred
        if len(self._published) >= MOST_PORTS:
            raise Exhausted(f"at most {MOST_PORTS} ports are published at once", code="too_many_ports", retry_after_s=10)
        place = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind((HOST, preferred))
            place.listen(128)
        except OSError:
            place.close()
            raise Conflict(f"the port {preferred} is taken by another program", code="port_taken") from None
        chosen: int = place.getsockname()[1]
        connections = Connections(self._group, MOST_CONNECTIONS, lambda ends: self._carry(published, ends), "published port")
        published = self._published[chosen] = _Published(link, port, connections)
        connections.listen(place)
        self._ever.add(chosen)
        return chosen

    def serves(self, port: int) -> bool:
        """Whether pages of this port are, or were, a box's: what is open in a browser still runs when the port is withdrawn."""
        return port in self._ever

    async def withdraw(self, published_port: int) -> None:
        """Stop listening there, and end what flows. Fine for one that is not published."""
        published = self._published.pop(published_port, None)
        if published is None:
            return
        await published.connections.close(_CLOSED_S)

    async def _carry(self, published: _Published, caller: Ends) -> None:
        try:
            box = await asyncio.open_connection(sock=await published.link.dial(published.inside))
        except ConnectionRefusedError:
            return await _say(caller[1], 502, "Nothing listens on this port of the container.")
        except SandboxGone:
            return None
        try:
            port = caller[1].get_extra_info("sockname")[1]
            await Passage(caller, box, port, self._idle_s).carry(published.link.lost)
        except Untrusted as exc:
            await _say(caller[1], 403, f"Refused: {exc}.")
        finally:
            await close(box[1])


async def _say(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    body = text.encode() + b"\n"
    head = b"HTTP/1.1 %d Refused\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    with suppress(OSError):
        send(writer, head % (status, len(body)) + body)
        await writer.drain()
