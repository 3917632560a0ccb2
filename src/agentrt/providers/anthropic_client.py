import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import structlog

from agentrt.agents import Limits

from .anthropic_request import carries_thinking, request_body
from .anthropic_response import AnthropicReader
from .client import Chunk, Done, ModelAsk
from .errors import ModelFailure
from .reading import read_answer
from .transport import Transport

log = structlog.get_logger()

# A model pauses where its own tools work for long; an answer in more pieces than this is going in circles.
_MOST_PIECES = 20
_ABOUT_THINKING = re.compile(r"signature|thinking` block|different conversation", re.IGNORECASE)


class _Listed(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Listed]


class AnthropicClient:
    """Anthropic's Messages API, and what speaks like it. `api_version` is sent as `anthropic-version` by the transport."""

    def __init__(self, transport: Transport, api_version: str) -> None:
        self._transport, self._api_version = transport, api_version

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider.

        A turn that the model pauses is gone on with until it ends, as one answer.
        """
        provider = self._transport.provider
        reader = AnthropicReader(provider, ask, self._transport.secrets)
        so_far = ask
        for _ in range(_MOST_PIECES):
            async with aclosing(self._piece(so_far, reader)) as piece:
                async for chunks in piece:
                    if not reader.paused or type(chunks[-1]) is not Done:
                        yield chunks
                    elif shown := chunks[:-1]:
                        yield shown
            if not reader.paused:
                return
            so_far = msgspec.structs.replace(ask, messages=(*ask.messages, reader.message()))
            reader.resume()
        raise ModelFailure(f"{provider} paused its answer {_MOST_PIECES} times", code="truncated", retryable=False)

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in Anthropic's form."""
        body = await self._transport.get("/v1/models?limit=1000", within_s=within_s)
        try:
            return [model.id for model in msgspec.json.decode(body, type=_Listing).data]
        except msgspec.DecodeError as exc:
            provider = self._transport.provider
            raise ModelFailure(f"{provider} does not list its models in Anthropic's form", code="malformed") from exc

    async def _piece(self, ask: ModelAsk, reader: AnthropicReader) -> AsyncGenerator[list[Chunk]]:
        """One request. It is made once more without earlier thinking where the provider does not recognise it as its own:
        it was signed for another account or model, or something before it has changed since."""
        provider = self._transport.provider
        try:
            async with aclosing(self._ask(request_body(ask, provider, self._api_version), reader, ask.limits)) as answer:
                async for chunks in answer:
                    yield chunks
            return
        except ModelFailure as failure:
            if failure.status != 400 or not _ABOUT_THINKING.search(failure.message) or not carries_thinking(ask, provider):
                raise
            log.warning("thinking.left_out", provider=provider, model=ask.model, reason=failure.message)
        body = request_body(ask, provider, self._api_version, thinking=False)
        async with aclosing(self._ask(body, reader, ask.limits)) as answer:
            async for chunks in answer:
                yield chunks

    def _ask(self, body: bytes, reader: AnthropicReader, limits: Limits) -> AsyncGenerator[list[Chunk]]:
        return read_answer(self._transport, "/v1/messages", body, reader, limits)
