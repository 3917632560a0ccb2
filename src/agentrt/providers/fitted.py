"""A conversation as one model can take it: bytes for addresses, notes for what tools returned and it cannot be shown."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from msgspec.structs import replace

from agentrt.kernel import Invalid
from agentrt.messages import Image, Message, Part, ToolResult

from .abilities import Abilities
from .client import Chunk, ModelAsk, ModelClient
from .entry import ProviderEntry
from .errors import ModelFailure
from .fitness import readable
from .sdk_options import BedrockSdk, VertexSdk
from .wires import Wire

AnyPart = TypeVar("AnyPart", bound=Part)

FetchImage = Callable[[str], Awaitable[str]]
"""The image at an address as a data URL; Invalid where it cannot be fetched."""

# The others take an image by its address.
_WANT_BYTES: frozenset[Wire] = frozenset({"gemini", "ollama"})


def wants_bytes(entry: ProviderEntry) -> bool:
    """Whether images by address are to be fetched for this provider: the clouds that resell models fetch none themselves, and
    who stands inside could be made to reach inside."""
    if entry.image_urls is not None:
        return not entry.image_urls
    if entry.wire in _WANT_BYTES or isinstance(entry.sdk, BedrockSdk | VertexSdk):
        return True
    return entry.wire != "offline" and entry.inside


class Fitted:
    """Asks with what the model can take. `fetch` None: it fetches images by itself.

    ModelFailure `invalid_request` where an image cannot be fetched. One that was stored with the run comes from there.
    """

    def __init__(self, client: ModelClient, wire: Wire, known: Abilities, fetch: FetchImage | None) -> None:
        self._client, self._known, self._fetch = client, known, fetch
        self._wire: Wire = wire

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        messages = readable(ask.messages, self._wire, self._known)
        if self._fetch is not None:
            messages = tuple([await self._in_bytes(message, ask, self._fetch) for message in messages])
        async with aclosing(self._client.stream(replace(ask, messages=messages))) as chunks_read:
            async for chunks in chunks_read:
                yield chunks

    async def _in_bytes(self, message: Message, ask: ModelAsk, fetch: FetchImage) -> Message:
        return replace(message, parts=tuple([await self._held(part, ask, fetch) for part in message.parts]))

    async def _held(self, part: AnyPart, ask: ModelAsk, fetch: FetchImage) -> AnyPart:
        if isinstance(part, ToolResult):
            return replace(part, parts=tuple([await self._held(piece, ask, fetch) for piece in part.parts]))
        if not (isinstance(part, Image) and part.away):
            return part
        try:
            return replace(part, url=ask.images.get(part.url) or await fetch(part.url), media_type="")
        except Invalid as exc:
            raise ModelFailure(exc.message, code="invalid_request") from exc
