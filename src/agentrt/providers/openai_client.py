from collections.abc import AsyncGenerator

import msgspec

from .client import Chunk, ModelAsk
from .errors import ModelFailure
from .failures import is_page, not_an_api
from .openai_request import request_body
from .openai_response import OpenAIReader
from .reply import Reply
from .transport import Transport


class _Listed(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Listed] = []


class OpenAIClient:
    """Any provider that speaks OpenAI's chat completions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider."""
        reply = await self._transport.post("/chat/completions", request_body(ask))
        try:
            reader = OpenAIReader(self._transport.provider, ask, self._transport.secrets)
            if reply.content_type.startswith("application/json"):
                chunks = reader.whole(await reply.whole())
                yield [*chunks, reader.done()]
                return
            self._refuse_page(reply)
            while not reader.ended and (piece := await self._next(reply, reader)):
                chunks = reader.feed(piece)
                if reader.ended:
                    chunks.append(reader.done())
                if chunks:
                    yield chunks
            if not reader.ended:
                yield [*reader.end(), reader.done()]
            await reply.finish()
        finally:
            reply.close()

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in OpenAI's form."""
        body = await self._transport.get("/models", within_s=within_s)
        try:
            return [model.id for model in msgspec.json.decode(body, type=_Listing).data]
        except msgspec.DecodeError as exc:
            raise ModelFailure(f"{self._transport.provider} does not list its models in OpenAI's form", code="malformed") from exc

    async def _next(self, reply: Reply, reader: OpenAIReader) -> bytes:
        try:
            return await reply.read()
        except ModelFailure:
            if reader.complete:
                return b""  # the model had finished: only the end of the stream got lost
            raise

    def _refuse_page(self, reply: Reply) -> None:
        if is_page(reply.content_type, b""):
            raise not_an_api(self._transport.provider, reply.status)
