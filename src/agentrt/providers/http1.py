"""A client of one HTTP/1.1 base URL: what every request begins with is made once, an answer is read as it comes."""

import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote, urlsplit

from .connection import Connection
from .connection_failures import BadAddress, Broken
from .pool import Origin, Pool
from .unpacking import Unpacking

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_PLAIN = re.compile(r"[!-~]*\Z")
_SAFE = "!#$%&'()*+,/:;=?@[]~"


class Exchange:
    """An answer whose head is here; the connection is its own until it is closed."""

    __slots__ = ("_connection", "_headers", "_packed", "_pool", "status")

    def __init__(self, connection: Connection, pool: Pool) -> None:
        self._connection: Connection | None = connection
        self._pool = pool
        coding = connection.headers.get(b"content-encoding", b"identity").lower()
        self._packed = None if coding == b"identity" else Unpacking(coding)
        self.status = connection.status
        self._headers = connection.headers

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()}

    @property
    def content_type(self) -> str:
        return self._headers.get(b"content-type", b"").decode("latin-1").lower()

    @property
    def ended(self) -> bool:
        return self._connection is None or (self._connection.ended and not (self._packed and self._packed.pending))

    async def read(self) -> bytes:
        if self._connection is None:
            raise Broken
        if self._packed is None:
            return await self._connection.read()
        while not (out := self._packed.next()):
            piece = await self._connection.read()
            if not piece:
                self._packed.end()
                return b""
            self._packed.feed(piece)
        return out

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)

    async def gone(self) -> None:
        """At once: hanging up needs no time."""


class Http1:
    """Requests below `url`, each with these headers. Connections are made when a request needs them."""

    def __init__(self, url: str, headers: Mapping[str, str], *, max_connections: int, connect_s: float) -> None:
        """BadAddress where `url` or a header is not one."""
        parts, origin = _origin(url)
        self._path, self._query = parts.path.rstrip("/"), parts.query
        default = 443 if origin.tls else 80
        host = origin.name.removesuffix(f":{default}") if origin.port == default else origin.name
        self._opening = _lines({"Host": host, **_credentials(parts, headers), **headers})
        self._pool = Pool(origin, limit=max_connections, connect_s=connect_s)

    async def ask(self, method: str, path: str, body: bytes | None, *, connect_s: float | None = None) -> Exchange:
        """The answer once its head is here. HttpFailure; cancelling it hangs up. `connect_s`: other than for most requests.

        A connection that turns out to be closed by the peer is replaced once; nothing else is asked a second time.
        """
        pool, request = self._pool, self._request(method, path, body)
        connection = await pool.take(connect_s)
        try:
            try:
                await connection.ask(request)
            except Broken:
                if not connection.stale:
                    raise
                connection = await pool.connect(connect_s)
                await connection.ask(request)
        except BaseException:
            pool.give_back(connection)
            raise
        return Exchange(connection, pool)

    async def close(self) -> None:
        """Close every connection; an answer that is still read ends with Broken."""
        await self._pool.close()

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        target = self._path + path
        if self._query:
            target += ("&" if "?" in path else "?") + self._query
        if not _PLAIN.match(target):
            target = quote(target, safe=_SAFE)
        if body is None:
            return b"%b %b%b\r\n" % (method.encode(), target.encode(), self._opening)
        return b"%b %b%bContent-Length: %d\r\n\r\n%b" % (method.encode(), target.encode(), self._opening, len(body), body)


def _origin(url: str) -> tuple[SplitResult, Origin]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
        port = parts.port
    except ValueError:
        raise BadAddress() from None
    if parts.scheme not in ("http", "https") or not host or not _PLAIN.match(host):
        raise BadAddress()
    tls = parts.scheme == "https"
    return parts, Origin(host, port or (443 if tls else 80), tls)


def _credentials(parts: SplitResult, headers: Mapping[str, str]) -> dict[str, str]:
    """A name and password in the URL, as the header they stand for."""
    if parts.username is None or any(name.lower() == "authorization" for name in headers):
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}


def _lines(headers: Mapping[str, str]) -> bytes:
    """What follows the target; of headers with the same name the last one counts."""
    lines: dict[str, str] = {}
    for name, value in headers.items():
        if not _NAME.match(name) or any(mark in value for mark in "\r\n\0"):
            raise BadAddress(f"its header {name!r} is not one that HTTP can carry")
        lines[name.lower()] = f"{name}: {value.strip()}\r\n"
    return (" HTTP/1.1\r\n" + "".join(lines.values())).encode()
