"""CONNECT to a host of an agent's allow-list. What flows is encrypted: nothing of it is read but the name it is meant for."""

import asyncio
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

from agentrt.files import Allowed, Resolve

from ..spec import Upstream
from .credentials import placeholders_in
from .exchange import Exchange
from .hello import MOST_HELLO, NoHello, server_name
from .meter import Meters
from .relay import Ends, close, relay, send
from .requests import Refused

_TARGET = re.compile(rb"([A-Za-z0-9.-]{1,253}):([0-9]{1,5})\Z")
_RESOLVE_S, _CONNECT_S, _HELLO_S, _IDLE_S = 10.0, 10.0, 15.0, 300.0
_LIMITS = Upstream(origin="")  # an upstream's own limits, which hosts have too


class Tunnels:
    """`inner_hosts` may be asked although they lie inside; `port` is the only one that is connected to."""

    def __init__(self, meters: Meters, resolve: Resolve, inner_hosts: Sequence[str], port: int) -> None:
        self._meters, self._resolve, self._port = meters, resolve, port
        self._allowed = Allowed(inner_hosts)

    async def open(self, exchange: Exchange, hosts: Sequence[str], sandbox: tuple[str, ...]) -> None:
        """Connect, check whom the client means to speak to, and carry bytes to the end. Refused before that."""
        host, pattern = self._host(exchange, hosts)
        exchange.upstream, exchange.keep_alive = host, False
        # one for all names below one: who may make up names would make up limits
        meter = self._meters.of((*sandbox, "host", pattern), _LIMITS.requests_per_minute, _LIMITS.bytes_per_day)
        if (used_up := meter.refuse()) is not None:
            raise Refused(429, used_up[0], "too much was asked for", wait_s=used_up[1], last=True)
        exchange.meter = meter
        far = await _connect(await self._judged(host), self._port)
        try:
            exchange.status = 200
            send(exchange.writer, b"HTTP/1.1 200 Connection established\r\n\r\n")
            first = await self._hello(exchange, host)
            if first is None:
                exchange.reason = "server_name_differs"
                return
            exchange.sent = len(first)
            exchange.spend(len(first))
            send(far[1], first)
            await relay((exchange.reader, exchange.writer), far, idle_s=_IDLE_S, count=_Count(exchange))
        finally:
            await close(far[1])

    def _host(self, exchange: Exchange, hosts: Sequence[str]) -> tuple[str, str]:
        """Which host is asked for, and by which of the allowed ones."""
        head = exchange.head
        found = _TARGET.match(head.target)
        if found is None or head.length != 0:
            raise Refused(400, "target", "CONNECT names a host and a port", last=True)
        if any(placeholders_in(value) for _, value in head.headers):
            raise Refused(403, "placeholder_elsewhere", "credentials are not put into tunnels", last=True)
        host = found[1].decode().lower().rstrip(".")
        pattern = _allowing(host, hosts)
        if not pattern:
            raise Refused(403, "host_not_allowed", f"{host[:100]} is not a host that this agent may reach", last=True)
        if int(found[2]) != self._port:
            raise Refused(403, "port_not_allowed", f"only port {self._port} is let through", last=True)
        return host, pattern

    async def _judged(self, host: str) -> list[str]:
        """The host's addresses, resolved this once; Refused unless all of them are of the public internet."""
        try:
            async with asyncio.timeout(_RESOLVE_S):
                addresses = await self._resolve(host, self._port)
        except (OSError, UnicodeError, TimeoutError):
            raise Refused(502, "host_unknown", f"{host} is not known", last=True) from None
        judged = [ip_address(address.partition("%")[0]) for address in addresses]
        if not judged or not all(self._allowed.allows(host, address) for address in judged):
            raise Refused(403, "address_refused", f"{host} does not lie in the public internet", last=True)
        return addresses

    async def _hello(self, exchange: Exchange, host: str) -> bytes | None:
        """The client's first bytes; None where they do not name `host`, or name nothing in time."""
        data = exchange.requests.tunnelled
        try:
            async with asyncio.timeout(_HELLO_S):
                while (name := server_name(data)) is None and len(data) < 2 * MOST_HELLO:
                    piece = await exchange.reader.read(MOST_HELLO)
                    if not piece:
                        return None
                    data += piece
        except (NoHello, TimeoutError):
            return None
        return data if name == host else None


class _Count:
    """Adds what flows to the exchange, and ends it once the day's bytes are used up."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __call__(self, out: int, back: int) -> None:
        self._exchange.sent += out
        self._exchange.received += back
        try:
            self._exchange.spend(out + back)
        except Refused as exc:
            self._exchange.reason = exc.reason
            raise ConnectionAbortedError from None


def _allowing(host: str, patterns: Sequence[str]) -> str:
    """The first pattern that means this host; empty where none does. By whole names: `*.example.com` are the names below
    `example.com`, and not itself. Never an address."""
    with suppress(ValueError):
        ip_address(host)
        return ""
    if all(label.isdigit() or label[:2] == "0x" for label in host.split(".")):  # an address, written in an older way
        return ""
    for pattern in patterns:
        wanted = pattern.lower().rstrip(".")
        if host == wanted or (wanted.startswith("*.") and host.endswith(wanted[1:]) and len(host) > len(wanted) - 1):
            return pattern
    return ""


async def _connect(addresses: Sequence[str], port: int) -> Ends:
    """To the first address that answers."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_S):
                return await asyncio.open_connection(address, port, family=family, flags=socket.AI_NUMERICHOST)
    raise Refused(502, "upstream_failed", "the host does not answer", last=True)
