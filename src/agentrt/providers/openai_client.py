from collections.abc import AsyncGenerator

import msgspec

from .client import Chunk, ModelAsk
from .errors import ModelFailure
from .openai_request import request_body
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
        reader = OpenAIReader(transport.provider, ask, transport.secrets)
        return read_answer(transport, "/chat/completions", request_body(ask), reader)

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in OpenAI's form."""
        body = await self._transport.get("/models", within_s=within_s)
        try:
            return [model.id for model in msgspec.json.decode(body, type=_Listing).data]
        except msgspec.DecodeError as exc:
            raise ModelFailure(f"{self._transport.provider} does not list its models in OpenAI's form", code="malformed") from exc
