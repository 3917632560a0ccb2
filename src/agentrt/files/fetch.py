"""Images by their address, fetched for those who want the bytes, so that nobody can reach inside with them.

Every name is resolved here and every address judged; the connection goes to the address that was judged, and no proxy comes
in between. Each redirect is judged anew. aiohttp is imported with the first image: who fetches none does not pay for it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec

from agentrt.kernel import Invalid

from .inner import Address, Allowed, literal

MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 65_536

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host; OSError where it is not known."""


class Fetched(msgspec.Struct, frozen=True):
    """An image, and its type (`image/png`) as its server gave it."""

    data: bytes
    media_type: str


class ImageFetcher:
    """Fetches images of at most `max_bytes` within `timeout_s`. `inner_hosts`: hosts inside that may be asked all the same.

    `resolve` gives the addresses of a host; by default the system's resolver.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 20 * 1024 * 1024,
        timeout_s: float = 20.0,
        inner_hosts: Sequence[str] = (),
        resolve: Resolve | None = None,
    ) -> None:
        self._max_bytes, self.timeout_s = max_bytes, timeout_s
        self._allowed = Allowed(inner_hosts)
        self._resolve = resolve or system_resolve

    async def fetch(self, url: str, param: str | None = None) -> Fetched:
        """The image at `url`. Invalid, about `param`, where there is none, it is too large, or it may not be asked for."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._follow(url)
        except TimeoutError:
            reason = f"it was not there within {self.timeout_s:g} s"
            raise _refusal(url, reason, "image_fetch_failed", param) from None
        except _Refused as exc:
            raise _refusal(url, exc.reason, exc.code, param) from None

    async def _follow(self, url: str) -> Fetched:
        place = _parsed(url)
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._get(place, await self._judge(place))
            if isinstance(answer, Fetched):
                return answer
            place = place.join(_parsed(answer))
        raise _Refused("image_fetch_failed", f"it is redirected more than {MOST_REDIRECTS} times")

    async def _judge(self, place: Any) -> list[str]:
        """The addresses that the connection may go to; _Refused where there is none.

        `place` is read by the library that connects, so that both mean the same host.
        """
        host = place.host
        if place.scheme not in ("http", "https") or not host or place.user is not None or place.password is not None:
            raise _Refused("invalid_image_url", "an address is http or https, with a host and no password")
        found = literal(host)
        try:
            addresses = [str(found)] if found is not None else await self._resolve(host, place.port)
        except (OSError, UnicodeError):
            raise _Refused("image_fetch_failed", "its host is not known") from None
        judged: list[Address] = [ip_address(address.partition("%")[0]) for address in addresses]
        if not judged or not all(self._allowed.allows(host, address) for address in judged):
            raise _Refused("image_address_refused", "its host is not one of the public internet")
        return addresses

    async def _get(self, place: Any, addresses: list[str]) -> Fetched | str:
        """The image, or where the answer says that it is."""
        import aiohttp

        connector = aiohttp.TCPConnector(resolver=_pinned(addresses), use_dns_cache=False, force_close=True)
        headers = {"accept": "image/*", "accept-encoding": "identity", "user-agent": "agentrt"}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, auto_decompress=False, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.get(place, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status in _REDIRECTS and (target := answer.headers.get("location")):
                    return target
                if answer.status != 200:
                    raise _Refused("image_fetch_failed", f"its server answered {answer.status}")
                media_type = self._check(answer.headers)
                return Fetched(await self._read(answer.content), media_type)
        except (aiohttp.ClientError, OSError, ValueError):
            raise _Refused("image_fetch_failed", "its server gave no whole answer") from None

    def _check(self, headers: Mapping[str, str]) -> str:
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not media_type.startswith("image/"):
            raise _Refused("invalid_image_format", f"its type is {media_type[:80] or 'not given'}, which is no image")
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise _Refused("image_fetch_failed", "its server sent it compressed although that was declined")
        if (length := headers.get("content-length", "")).isdigit() and int(length) > self._max_bytes:
            raise self._too_large()
        return media_type

    async def _read(self, content: Any) -> bytes:
        data = bytearray()
        async for piece in content.iter_chunked(_PIECE):
            data += piece
            if len(data) > self._max_bytes:
                raise self._too_large()
        if not data:
            raise _Refused("image_fetch_failed", "it is empty")
        return bytes(data)

    def _too_large(self) -> "_Refused":
        return _Refused("image_too_large", f"it is larger than {self._max_bytes} bytes")


class _Refused(Exception):
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def _refusal(url: str, reason: str, code: str, param: str | None) -> Invalid:
    return Invalid(f"The image at {_told(url)} cannot be fetched: {reason}.", code=code, param=param)


def _told(url: str) -> str:
    """The address without what may be a secret in it."""
    return url.partition("?")[0].rpartition("@")[2][:200]


def _parsed(url: str) -> Any:
    from yarl import URL

    try:
        return URL(url)
    except ValueError:
        raise _Refused("invalid_image_url", "this is no address") from None


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows it; OSError where it does not."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def _pinned(addresses: list[str]) -> Any:
    """A resolver that knows the judged addresses, and nothing else."""
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Pinned(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
            kinds = [(address, socket.AF_INET6 if ":" in address else socket.AF_INET) for address in addresses]
            return [
                ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
                for address, kind in kinds
                if family in (socket.AF_UNSPEC, kind)
            ]

        async def close(self) -> None:
            return None

    return Pinned()
