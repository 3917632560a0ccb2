"""Pooled HTTP to one provider: a request out, bytes back as they are read, every failure a ModelFailure."""

import asyncio
import time
from typing import TYPE_CHECKING

from agentrt.agents import Limits

from .connection_failures import HttpFailure, explained
from .entry import ProviderEntry
from .errors import ModelFailure
from .failures import refused
from .http1 import Http1
from .reply import Exchange, Reply, late
from .wires import Wire, asked_at

if TYPE_CHECKING:
    from .proxied import Proxied
    from .sdk_http import SdkHttp

NO_LIMITS = Limits()


class Transport:
    """The connections to one provider, closed in the loop that used them."""

    def __init__(self, provider: str, entry: ProviderEntry) -> None:
        self.provider = provider
        self._entry = entry
        self.url = entry.url
        self.wire: Wire = entry.wire
        self._client: Http1 | Proxied | SdkHttp | None = None
        self.secrets = entry.secrets

    async def close(self) -> None:
        """Close every connection; an answer that is still read ends with ModelFailure."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def post(self, path: str, body: bytes, limits: Limits = NO_LIMITS) -> Reply:
        """Send JSON; returns once the head of a 200 is here. The reply must be closed. `limits` come before the entry's."""
        return await self._open("POST", path, body, self._entry.within(limits))

    async def get(self, path: str, *, within_s: float) -> bytes:
        """The whole body of a 200."""
        try:
            async with asyncio.timeout(within_s):
                reply = await self._open("GET", path, None, self._entry)
                try:
                    return await reply.whole()
                finally:
                    await reply.leave()
        except TimeoutError:
            raise late(self.provider, "first_token", within_s) from None

    async def _open(self, method: str, path: str, body: bytes | None, entry: ProviderEntry) -> Reply:
        began = asyncio.get_running_loop().time()
        reply = Reply(self.provider, entry, await self._head(method, path, body, entry), began)
        if reply.status != 200:
            await self._refuse(reply)
        return reply

    async def _head(self, method: str, path: str, body: bytes | None, entry: ProviderEntry) -> Exchange:
        try:
            async with asyncio.timeout(min(entry.first_token_s, entry.total_s)):
                return await (self._client or self._start()).ask(method, path, body, connect_s=entry.connect_s)
        except TimeoutError as exc:
            if entry.total_s < entry.first_token_s:
                raise late(self.provider, "total", entry.total_s) from exc
            raise late(self.provider, "first_token", entry.first_token_s) from exc
        except HttpFailure as failure:
            raise explained(failure, self.provider, connect_s=entry.connect_s, answering=False) from failure

    async def _refuse(self, reply: Reply) -> None:
        try:
            async with asyncio.timeout(self._entry.connect_s):
                body = await reply.whole()
        except (TimeoutError, ModelFailure):
            body = b""  # the status says enough
        finally:
            await reply.leave()
        at, secrets = time.time(), self.secrets
        raise refused(self.provider, reply.status, reply.headers, body, wire=self.wire, secrets=secrets, now=at)

    def _start(self) -> "Http1 | Proxied | SdkHttp":
        entry = self._entry
        if entry.client == "sdk":
            from .sdk_http import SdkHttp

            self._client = SdkHttp(entry)
            return self._client
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",  # compression delays an event stream
            "User-Agent": "agentrt",
        } | entry.request_headers
        url = asked_at(entry.wire, entry.url, entry.api_version)
        if entry.proxy is None:
            self._client = Http1(url, headers, max_connections=entry.max_connections, connect_s=entry.connect_s)
        else:
            from .proxied import Proxied

            self._client = Proxied(
                url, headers, proxy=entry.proxy, max_connections=entry.max_connections, connect_s=entry.connect_s
            )
        return self._client
