"""The same requests by an official SDK: its addresses, headers, credentials and connections; our bytes in and out."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec

from agentrt.kernel import one_import_at_a_time

from .aws_events import AwsEvents
from .connection_failures import BadAddress, Broken, HttpFailure, NoCredentials, NotHttp, Unreachable
from .entry import ProviderEntry
from .failures import clean
from .sdk_clients import client_of, refusal_in
from .sdk_options import AnthropicSdk, BedrockSdk, OpenAISdk, VertexSdk, sdk_of

if TYPE_CHECKING:
    from .sdk_clients import SdkClient

_AWS = "application/vnd.amazon.eventstream"
# Of Claude's API. By itself the SDK says its newest, which refuses sampling parameters, and which older models refuse.
_CLOUDS_VERSION = {BedrockSdk: "bedrock-2023-05-31", VertexSdk: "vertex-2023-10-16"}
_CLOSED = ("Server disconnected", "peer closed", "peer unexpectedly closed")


class SdkExchange:
    """An answer whose head is here."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()
        self._reading: asyncio.Timeout | None = None
        self._closed = self._over = False
        self.status = response.status_code
        kind = response.headers.get("content-type", "").lower()
        self._aws = AwsEvents() if kind.startswith(_AWS) else None
        self.content_type: str = kind if self._aws is None else "text/event-stream"

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self._response.headers.items()}

    @property
    def ended(self) -> bool:
        return self._over

    async def read(self) -> bytes:
        if self._closed:
            raise Broken
        try:
            # `close` lets this time pass, whoever calls it.
            async with asyncio.timeout(None) as self._reading:
                return await self._next()
        except TimeoutError:
            raise Broken from None
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as exc:
            raise failure_in(exc, "") from exc
        finally:
            self._reading = None

    def close(self) -> None:
        self._closed = True
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())

    async def gone(self) -> None:
        with suppress(httpx2.HTTPError, httpx2.StreamError, OSError):
            await self._pieces.aclose()
            await self._response.aclose()

    async def _next(self) -> bytes:
        async for piece in self._pieces:
            if self._aws is not None:
                piece = self._aws.feed(piece)
            if piece:
                return piece
        self._over = True
        return b""


class SdkHttp:
    """Requests of one provider by its SDK, which is imported and made when the first one needs it."""

    def __init__(self, entry: ProviderEntry) -> None:
        self._entry = entry
        options = sdk_of(entry.wire, entry.sdk)
        # The clouds' clients find the model in the body, to put it into the address; to the others bytes are bytes.
        self._as_object = entry.wire != "gemini" and not isinstance(options, OpenAISdk | AnthropicSdk)
        version = _CLOUDS_VERSION.get(type(options))
        self._besides = {"anthropic_version": entry.api_version or version} if version else {}
        self._client: SdkClient | None = None
        self._making = asyncio.Lock()

    async def ask(self, method: str, path: str, body: bytes | None, *, connect_s: float | None = None) -> SdkExchange:
        """The answer once its head is here. HttpFailure; cancelling it hangs up."""
        limit = httpx2.Timeout(None, connect=connect_s or self._entry.connect_s)
        try:
            client = self._client or await self._make()
            response = await self._send(client, method, path, body, limit)
        except Exception as exc:  # credentials come from several packages, whose errors have no root of their own
            refusal = refusal_in(exc, self._entry.wire)
            if refusal is None:
                raise failure_in(exc, self._where(), self._entry.secrets) from exc
            response = refusal
        return SdkExchange(response)

    async def close(self) -> None:
        """Close every connection; an answer that is still read ends with Broken."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _make(self) -> "SdkClient":
        async with self._making:
            if self._client is None:
                # In a thread: importing an SDK takes a second, in which others go on.
                self._client = await asyncio.to_thread(one_import_at_a_time, client_of, self._entry)
            return self._client

    async def _send(
        self, client: "SdkClient", method: str, path: str, body: bytes | None, limit: httpx2.Timeout
    ) -> httpx2.Response:
        # `stream` leaves the body to us; the type is what both SDKs hand out untouched.
        how: dict[str, Any] = {"cast_to": httpx2.Response, "options": {"timeout": limit}, "stream": True}
        if method == "GET":
            return await client.get(path, **how)
        how |= {"body": self._besides | msgspec.json.decode(body or b"{}")} if self._as_object else {"content": body}
        return await client.post(path, **how)

    def _where(self) -> str:
        """Who is asked, as `host:port`: clouds have addresses that the SDK makes up."""
        if self._entry.proxy is not None:
            return "the proxy"
        if self._client is None:
            return self._entry.url
        url = self._client.base_url
        return f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"


def failure_in(exc: Exception, where: str, secrets: tuple[str, ...] = ()) -> HttpFailure:
    """Why the SDK got no whole answer; `where` it asked."""
    causes = list(_causes(exc))
    match next((cause for cause in causes if isinstance(cause, httpx2.HTTPError | httpx2.InvalidURL | ImportError)), exc):
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
            return BadAddress()
        case httpx2.ConnectTimeout():
            return Unreachable(where, TimeoutError())
        case httpx2.ConnectError():
            return Unreachable(where, _reason(causes))
        case httpx2.ProxyError() as error:
            return Unreachable("the proxy", error)
        case httpx2.DecodingError():
            return NotHttp("it compresses its answer in a way that cannot be read")
        case httpx2.LocalProtocolError() as error:
            return BadAddress(f"no request can be made of this: {clean(str(error), secrets)}")
        case httpx2.RemoteProtocolError() as error if not str(error).startswith(_CLOSED):
            return NotHttp()
        case httpx2.HTTPError() | httpx2.StreamError() | OSError():
            return Broken()
        case ImportError() as error:
            return NoCredentials(f"its SDK needs the package {error.name or error}")
        case _:
            return NoCredentials(clean(f"its SDK cannot ask: {exc}", secrets))


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else exc.__cause__ or exc.__context__


def _reason(causes: list[BaseException]) -> Exception:
    """What the system said of a connection that did not come about."""
    telling = (ssl.SSLError, socket.gaierror, ConnectionRefusedError)
    found = [cause for cause in causes if isinstance(cause, OSError)]
    return next((cause for cause in found if isinstance(cause, telling)), found[-1] if found else OSError())
