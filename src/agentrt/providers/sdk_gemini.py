"""Google's SDK as the carrier of our bytes: the address, the headers and the credentials are its own, the body is ours.

The SDK takes a client of HTTP from outside. Ours lets it make its request, puts our body into that, and hands the answer to
us before the SDK reads it. Imported where an entry says so, and nowhere else.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs

import httpx2

from .entry import ProviderEntry
from .sdk_options import VertexSdk
from .wires import WIRES, version_path

if TYPE_CHECKING:
    from google.genai import Client

_ASK = ":streamGenerateContent"
_body: ContextVar[bytes | None] = ContextVar("body")
_limit: ContextVar[httpx2.Timeout] = ContextVar("limit")


class GenaiClient:
    """A client of google-genai that is asked as those of the other SDKs are, for paths below `root`."""

    def __init__(self, client: "Client", http: "_Relay", root: str) -> None:
        self._client, self._http, self._root = client, http, root

    @property
    def base_url(self) -> httpx2.URL:
        """Where it asked last."""
        return self._http.asked

    async def post(self, path: str, *, content: bytes, options: dict[str, Any], **_: Any) -> httpx2.Response:
        """The answer to `content`, whatever its status, not read yet. `path` names the model."""
        # without what leads it: the version and the place of a model are the SDK's to say
        model = path.removesuffix("?alt=sse").removesuffix(_ASK).removeprefix(f"{self._root}/").removeprefix("models/")
        return await _answer(self._client.aio.models.generate_content_stream(model=model, contents=" "), content, options)

    async def get(self, path: str, *, options: dict[str, Any], **_: Any) -> httpx2.Response:
        """A page of the models, the one that `path` asks for."""
        asked = parse_qs(path.partition("?")[2])
        page = {"page_size": int(asked["pageSize"][0]), "page_token": asked.get("pageToken", [None])[0]}
        return await _answer(self._client.aio.models.list(config=page), None, options)  # pyright: ignore[reportArgumentType]

    async def close(self) -> None:
        await self._client.aio.aclose()
        await asyncio.to_thread(self._client.close)
        await self._http.aclose()


def genai_client(entry: ProviderEntry, options: dict[str, Any], key: str | None) -> GenaiClient:
    """A client as the entry says; `options` are those of its connections. Raises as `client_of` does."""
    import google.genai
    from google.genai.types import HttpOptions

    http = _Relay(**options)
    how = HttpOptions(base_url=entry.base_url, headers=entry.headers, api_version=_version(entry), httpx_async_client=http)
    given: dict[str, Any] = {"vertexai": False, "api_key": key}
    if isinstance(sdk := entry.sdk, VertexSdk):
        given = {"vertexai": True, "project": sdk.project_id, "location": sdk.region}
        if sdk.access_token is not None:
            from google.oauth2.credentials import Credentials

            given["credentials"] = Credentials(sdk.access_token)
    return GenaiClient(google.genai.Client(http_options=how, **given), http, version_path(entry.url, entry.version))


def _version(entry: ProviderEntry) -> str | None:
    """Vertex has versions of its own; which one is the SDK's to say, unless the entry does."""
    if not version_path(entry.url, entry.version):
        return ""
    return entry.api_version or None if entry.in_a_cloud else entry.version


class _Answered(Exception):
    """The head of an answer is here. Nothing of the SDK looks at it on its way to us."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__()
        self.response = response


class _Relay(httpx2.AsyncClient):
    asked = httpx2.URL(WIRES["gemini"].url)

    async def send(self, request: httpx2.Request, **_: Any) -> NoReturn:
        """Send `request` with the body that this task wants sent; raises the answer."""
        headers = [(name, value) for name, value in request.headers.items() if name not in ("content-length", "accept-encoding")]
        headers.append(("accept-encoding", "identity"))  # compression delays an event stream
        self.asked = request.url
        ours = self.build_request(request.method, request.url, headers=headers, content=_body.get(), timeout=_limit.get())
        raise _Answered(await super().send(ours, stream=True))


async def _answer(asking: Awaitable[Any], body: bytes | None, options: dict[str, Any]) -> httpx2.Response:
    _body.set(body)
    _limit.set(options["timeout"])
    try:
        begun = await asking
        await anext(aiter(begun))  # some versions ask once the first piece is wanted
    except _Answered as answered:
        return answered.response
    raise TypeError("google-genai asked nothing")
