"""The same requests through a proxy, by aiohttp: tunnels and proxies' credentials are rare, and it knows them.

Imported where a provider's entry names a proxy, and nowhere else: aiohttp costs start-up time, memory and CPU per read.
"""

import ssl
from collections.abc import Mapping

import aiohttp

from .connection_failures import BadAddress, Broken, HttpFailure, NotHttp, Unreachable


class ProxiedExchange:
    """An answer whose head is here."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self._response.headers.items()}

    @property
    def content_type(self) -> str:
        return self._response.headers.get("Content-Type", "").lower()

    @property
    def ended(self) -> bool:
        return self._response.content.at_eof()

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise _failure(exc) from exc

    def close(self) -> None:
        if self.ended:
            self._response.release()
        else:
            self._response.close()

    async def gone(self) -> None:
        """At once: hanging up needs no time."""


class Proxied:
    """Requests below `url`, each with these headers, by way of `proxy`."""

    def __init__(self, url: str, headers: Mapping[str, str], *, proxy: str, max_connections: int, connect_s: float) -> None:
        self._url, _, self._query = url.partition("?")
        self._proxy, self._connect_s = proxy, connect_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=30),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def ask(self, method: str, path: str, body: bytes | None, *, connect_s: float | None = None) -> ProxiedExchange:
        """The answer once its head is here. HttpFailure; cancelling it hangs up."""
        try:
            url = self._url.rstrip("/") + path
            if self._query:
                url += ("&" if "?" in path else "?") + self._query
            # Reading has its limits in Reply.
            limit = aiohttp.ClientTimeout(total=None, sock_connect=connect_s or self._connect_s)
            response = await self._session.request(
                method, url, data=body, proxy=self._proxy, allow_redirects=False, timeout=limit
            )
        except (aiohttp.ClientError, OSError) as exc:
            raise _failure(exc) from exc
        return ProxiedExchange(response)

    async def close(self) -> None:
        """Close every connection; an answer that is still read ends with Broken."""
        await self._session.close()


def _failure(exc: Exception) -> HttpFailure:
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            return Unreachable(exc.host, ssl.SSLCertVerificationError())
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Unreachable("", ssl.SSLError())
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return BadAddress()
        case aiohttp.ClientProxyConnectionError():
            return Unreachable("the proxy", exc.os_error)
        case aiohttp.ConnectionTimeoutError():
            return Unreachable("", TimeoutError())
        case aiohttp.ClientConnectorError():
            return Unreachable(f"{exc.host}:{exc.port}", exc.os_error)
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
            return Broken()
        case _:
            return NotHttp()
