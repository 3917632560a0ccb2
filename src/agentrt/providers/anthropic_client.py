import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import structlog

from agentrt.agents import Limits

from .anthropic_request import carries_thinking, request_body
from .anthropic_response import AnthropicReader
from .client import Chunk, ModelAsk
from .errors import ModelFailure
from .model_list import ModelList, model_list
from .reading import read_answer, read_pieces
from .transport import Transport

log = structlog.get_logger()

_ABOUT_THINKING = re.compile(r"signature|thinking` block|different conversation", re.IGNORECASE)


class AnthropicClient:
    """Anthropic's Messages API, and what speaks like it. `api_version` is sent as `anthropic-version` by the transport."""

    def __init__(self, transport: Transport, api_version: str) -> None:
        self._transport, self._api_version = transport, api_version

    def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider.

        A turn that the model pauses is gone on with until it ends, as one answer.
        """
        reader = AnthropicReader(self._transport.provider, ask, self._transport.secrets)

        def piece() -> AsyncGenerator[list[Chunk]]:
            said = reader.message()
            so_far = msgspec.structs.replace(ask, messages=(*ask.messages, said)) if said.parts else ask
            return self._piece(so_far, reader)

        return read_pieces(self._transport.provider, reader, piece)

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in Anthropic's form."""
        return (await model_list(self._transport, "/v1/models?limit=1000", ModelList, "Anthropic", within_s)).ids

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
