from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from .client import Chunk, ModelAsk
from .embedding import Embedded, embed
from .errors import ModelFailure
from .openai_request import request_body, with_cache_key
from .openai_response import OpenAIReader
from .reading import read_answer
from .transport import Transport


class _Listed(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Listed] = []


class OpenAIClient:
    """Any provider that speaks OpenAI's chat completions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider."""
        transport = self._transport
        ask = with_cache_key(ask, transport.url)
        reader = OpenAIReader(transport.provider, ask, transport.secrets)
        return read_answer(transport, "/chat/completions", request_body(ask), reader, ask.limits)

    async def embed(self, asked: dict[str, Any]) -> Embedded:
        """Embeddings, asked for and given in OpenAI's form; ModelFailure where there are none."""
        return await embed(self._transport, asked)

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in OpenAI's form."""
        body = await self._transport.get("/models", within_s=within_s)
        try:
            return [model.id for model in msgspec.json.decode(body, type=_Listing).data]
        except msgspec.DecodeError as exc:
            raise ModelFailure(f"{self._transport.provider} does not list its models in OpenAI's form", code="malformed") from exc
