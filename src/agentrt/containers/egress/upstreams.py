"""Requests of boxes to the upstreams of the table: taken apart, put together anew, and their answers cleaned.

aiohttp is imported with the first request.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .credentials import PLACEHOLDER, Mask, PlaceholderWatch, filled, placeholders_in
from .exchange import Exchange
from .links import Links, is_page
from .requests import Refused
from .table import Way

MOST_BUFFERED = 1024 * 1024
CONNECT_S, SILENT_S = 15.0, 600.0

_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade "
    b"http2-settings content-length expect".split()
)
_CREDENTIALS = frozenset(
    b"authorization x-api-key api-key apikey x-apikey x-goog-api-key x-auth-token x-auth-key x-access-token private-token "
    b"x-amz-security-token x-vault-token ocp-apim-subscription-key cookie cookie2".split()
)
# a credential of this upstream, and nothing of anybody else's beside it
_OWN = re.compile(rb"(?:[\w.-]{1,64}[ =])?" + PLACEHOLDER.pattern)
# who asked, from where; and what some servers take for another method or path than the one that was let through
_DROPPED = frozenset(
    b"host forwarded via accept-encoding x-real-ip x-client-ip client-ip true-client-ip cf-connecting-ip x-remote-ip "
    b"x-remote-addr x-originating-ip x-cluster-client-ip x-host x-original-host x-original-url x-original-uri x-rewrite-url "
    b"x-envoy-original-path x-http-method x-http-method-override x-method-override x-original-method".split()
)
# a credential could be read from an answer piece by piece
_RANGES = frozenset(b"range if-range".split())
_KEPT_BACK = frozenset(b"set-cookie set-cookie2 location refresh alt-svc content-location".split())


class Upstreams:
    """The client side, with one pool of connections. `group` owns what watches boxes for hang-ups; `origins` are those of all
    upstreams, with their names."""

    def __init__(self, group: asyncio.TaskGroup, origins: Mapping[str, str]) -> None:
        self._group, self._origins = group, origins
        self._session: Any = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, exchange: Exchange, way: Way, rest: bytes, query: bytes) -> None:
        """Carry out one request that the table lets through. Refused where it is not, or no answer comes."""
        mask = way.mask  # before anything is sent
        headers = _headers(exchange, way)
        whole, data = await _gathered(exchange, way)
        url = way.url(rest + query)
        body = _Streamed(exchange, data) if not whole else None
        if not whole and exchange.head.length is not None:
            headers.append(("content-length", str(exchange.head.length)))
        try:
            async with asyncio.timeout(None) as scope:
                watch = self._group.create_task(_end_with(exchange, scope), name="watch a box") if whole else None
                try:
                    await self._answer(exchange, way, mask, url, headers, data or None if whole else body)
                finally:
                    if watch is not None:
                        watch.cancel()
        except TimeoutError:
            exchange.reason = "hung_up"
            exchange.abort()

    async def _answer(
        self, exchange: Exchange, way: Way, mask: Mask, url: str, headers: list[tuple[str, str]], send: Any
    ) -> None:
        import aiohttp
        from yarl import URL

        try:
            async with self._client().request(
                exchange.head.method, URL(url, encoded=True), headers=headers, data=send, allow_redirects=False
            ) as answer:
                await self._pass_on(exchange, way, mask, url, answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            if isinstance(send, _Streamed) and send.refused is not None:
                raise send.refused from None
            if isinstance(exc, ConnectionError) and not isinstance(exc, aiohttp.ClientError):
                raise  # the box's own end
            raise Refused(502, "upstream_failed", f"{way.name} gave no whole answer", last=bool(exchange.status)) from None

    async def _pass_on(self, exchange: Exchange, way: Way, mask: Mask, url: str, answer: Any) -> None:
        if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refused(502, "encoded_answer", f"{way.name} answered compressed although that was declined")
        length = answer.headers.get("content-length", "")
        is_led = is_page(way.name, answer.headers.get("content-type", ""))
        known = int(length) if length.isdigit() and not is_led else None
        exchange.begin(answer.status, _answer_headers(way, mask, url, answer), known)
        body, links = mask.body(), Links(way.name, {**self._origins, way.spec.origin.lower(): way.name})
        async for piece in answer.content.iter_any():
            await exchange.write(body.see(links.see(piece) if is_led else piece))
        if is_led:
            await exchange.write(body.see(links.rest()))
        await exchange.write(body.rest())
        await exchange.end()

    def _client(self) -> Any:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # boxes have few each, and none waits for another's
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S),
                skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
                max_line_size=32_768,
                max_field_size=65_536,
            )
        return self._session


class _Streamed:
    """A long body on its way, beginning with what was read of it already. Placeholders are not filled in here, but seen."""

    def __init__(self, exchange: Exchange, first: bytes) -> None:
        self._exchange, self._first = exchange, first
        self.refused: Refused | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            watch, piece = PlaceholderWatch(), self._first
            while piece:
                yield self._checked(*watch.see(piece))
                piece = await self._exchange.body()
            yield self._checked(*watch.see(b"", last=True))
        except Refused as exc:
            self.refused = exc
            raise

    def _checked(self, data: bytes, found: bool) -> bytes:
        if found:
            limit = f"a credential may stand in a body of at most {MOST_BUFFERED} bytes"
            raise Refused(413, "placeholder_in_long_body", limit, last=True)
        return data


async def _end_with(exchange: Exchange, scope: asyncio.Timeout) -> None:
    """End the request where the box hangs up."""
    with suppress(OSError):
        await exchange.requests.gone()
    if not scope.expired():
        scope.reschedule(0)


async def _gathered(exchange: Exchange, way: Way) -> tuple[bool, bytes]:
    """Whether this is the whole body, with its placeholders filled in; else the beginning of a long one as it came."""
    pieces, size = [], 0
    while piece := await exchange.body():
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BUFFERED:
            return False, b"".join(pieces)
    return True, _filled(b"".join(pieces), way)


def _headers(exchange: Exchange, way: Way) -> list[tuple[str, str]]:
    """The request's headers as the upstream gets them. Refused for a credential that is not this upstream's."""
    listed = b",".join(exchange.head.values(b"connection")).lower()
    named = {name.strip().replace(b"_", b"-") for name in listed.split(b",")}
    dropped = _HOP | _DROPPED | named | (_RANGES if way.owned or way.credential else set())
    own = way.credential[0].encode().replace(b"_", b"-") if way.credential else b""
    out: list[tuple[str, str]] = []
    for name, value in exchange.head.headers:
        full, meant = _filled(value, way), name.replace(b"_", b"-")  # many servers do not tell these two apart
        if meant in dropped or meant == own or meant.startswith((b"x-forwarded-", b"proxy-")):
            continue
        if meant in _CREDENTIALS and not _OWN.fullmatch(value):  # such as the dummy that an SDK insists on
            continue
        try:
            out.append((name.decode("ascii"), full.decode("utf-8")))
        except UnicodeDecodeError:
            raise Refused(400, "header", "headers are text in UTF-8") from None
    out.append(("accept-encoding", "identity"))
    if way.credential:
        out.append(way.credential)
    return out


def _filled(data: bytes, way: Way) -> bytes:
    names = placeholders_in(data)
    if not names:
        return data
    if not names <= way.owned:
        raise Refused(403, "placeholder_elsewhere", "this credential does not belong to this upstream")
    return filled(data, way.secrets)


def _answer_headers(way: Way, mask: Mask, url: str, answer: Any) -> Sequence[tuple[bytes, bytes]]:
    listed = {name.strip().lower() for value in answer.headers.getall("connection", ()) for name in value.encode().split(b",")}
    out: list[tuple[bytes, bytes]] = []
    for raw_name, value in answer.raw_headers:
        name = raw_name.lower()
        if name not in _HOP and name not in _KEPT_BACK and name not in listed:
            out.append((name, mask.header(value)))
    location = answer.headers.get("location")
    if location and (inside := way.inside(url, location)) is not None:
        out.append((b"location", mask.header(inside.encode())))
    return out
