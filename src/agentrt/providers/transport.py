"""Pooled HTTP to one provider: a request out, bytes back as they are read, every failure a ModelFailure.

aiohttp is imported when the first request needs it: it costs start-up time and memory that `offline` does not need.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from .entry import ProviderEntry
from .errors import ModelFailure
from .failures import refused
from .reply import Reply

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession


class Transport:
    """The connections to one provider, closed in the loop that used them."""

    def __init__(self, provider: str, entry: ProviderEntry) -> None:
        self.provider = provider
        self._entry = entry
        self.url = entry.url
        self._session: ClientSession | None = None
        # What must never show in a message: a provider may repeat a header in its complaint.
        self.secrets = tuple(s for s in (entry.api_key, *entry.headers.values()) if s and len(s) >= 6)

    async def close(self) -> None:
        """Close every connection; an answer that is still read ends with ModelFailure."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def post(self, path: str, body: bytes) -> Reply:
        """Send JSON; returns once the head of a 200 is here. The reply must be closed."""
        return await self._open("POST", path, body)

    async def get(self, path: str, *, within_s: float) -> bytes:
        """The whole body of a 200."""
        try:
            async with asyncio.timeout(within_s):
                reply = await self._open("GET", path, None)
                try:
                    return await reply.whole()
                finally:
                    reply.close()
        except TimeoutError:
            raise self._late(within_s) from None

    async def _open(self, method: str, path: str, body: bytes | None) -> Reply:
        began = asyncio.get_running_loop().time()
        response = await self._head(method, self.url + path, body)
        reply = Reply(self.provider, self._entry, response, began)
        if response.status != 200:
            await self._refuse(reply)
        return reply

    async def _head(self, method: str, url: str, body: bytes | None) -> "ClientResponse":
        session = self._session or self._start()
        entry = self._entry
        limit = asyncio.timeout(entry.first_token_s)
        try:
            async with limit:
                return await session.request(method, url, data=body, proxy=entry.proxy, allow_redirects=False)
        except Exception as exc:
            from .connection_failures import explained

            if limit.expired():
                raise self._late(entry.first_token_s) from exc
            raise explained(exc, self.provider, entry, answering=False) or exc from exc

    async def _refuse(self, reply: Reply) -> None:
        try:
            async with asyncio.timeout(self._entry.connect_s):
                body = await reply.whole()
        except (TimeoutError, ModelFailure):
            body = b""  # the status says enough
        finally:
            reply.close()
        raise refused(self.provider, reply.status, reply.headers, body, secrets=self.secrets, now=time.time())

    def _start(self) -> "ClientSession":
        import aiohttp

        entry = self._entry
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",  # compression delays an event stream
            "User-Agent": "agentrt",
        }
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=entry.max_connections, keepalive_timeout=30),
            headers=headers | entry.request_headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Reading has its limits in Reply.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=entry.connect_s),
        )
        return self._session

    def _late(self, seconds: float) -> ModelFailure:
        return ModelFailure(f"{self.provider} did not begin to answer within {seconds:g} s", code="timeout", retryable=True)
