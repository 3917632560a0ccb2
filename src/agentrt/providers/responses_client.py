import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import structlog

from .client import Chunk, ModelAsk
from .embedding import Embedded, embed
from .errors import ModelFailure
from .model_list import ModelList, model_list
from .openai_request import with_cache_key
from .reading import read_answer
from .responses_input import carries_reasoning
from .responses_request import FULL, Extent, request_body
from .responses_response import ResponsesReader
from .transport import Transport

log = structlog.get_logger()

_NO_ENCRYPTION = re.compile(r"encrypted content is not supported", re.IGNORECASE)
_NO_SUMMARY = re.compile(r"reasoning[._ ]summar", re.IGNORECASE)
_ABOUT_REASONING = re.compile(r"encrypted[_ ]content|\brs_\w|'reasoning'|items? of type", re.IGNORECASE)


class ResponsesClient:
    """OpenAI's Responses API, and what speaks like it. Nothing of a conversation is stored there."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._extents: dict[str, Extent] = {}  # of models that were found not to have all of it

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider.

        A request that is refused for what not every account or model has, or for reasoning that the provider does not
        recognise as its own, is made again without that.
        """
        transport, extent = self._transport, self._extents.get(ask.model, FULL)
        ask = with_cache_key(ask, transport.url)
        while True:
            reader = ResponsesReader(transport.provider, ask, transport.secrets)
            body = request_body(ask, transport.provider, extent)
            shown = False
            try:
                async with aclosing(read_answer(transport, "/responses", body, reader, ask.limits)) as answer:
                    async for chunks in answer:
                        shown = True
                        yield chunks
                return
            except ModelFailure as failure:
                less = None if shown else self._less(extent, failure, ask)
                if less is None:
                    raise
                log.warning("request.reduced", provider=transport.provider, model=ask.model, reason=failure.message)
            extent = less
            self._extents[ask.model] = msgspec.structs.replace(extent, reasoning=True)

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in OpenAI's form."""
        return (await model_list(self._transport, "/models", ModelList, "OpenAI", within_s)).ids

    async def embed(self, asked: dict[str, Any]) -> Embedded:
        """What `/embeddings`, which both APIs share, answers; ModelFailure where it answers nothing of use."""
        return await embed(self._transport, asked)

    def _less(self, extent: Extent, failure: ModelFailure, ask: ModelAsk) -> Extent | None:
        """What to ask for after this refusal; None where asking for less would not help."""
        said = failure.message
        if failure.status != 400:
            return None
        if extent.encrypted and _NO_ENCRYPTION.search(said):
            return msgspec.structs.replace(extent, encrypted=False)
        if extent.summary and _NO_SUMMARY.search(said):
            return msgspec.structs.replace(extent, summary=False)
        if extent.reasoning and _ABOUT_REASONING.search(said) and carries_reasoning(ask.messages, self._transport.provider):
            return msgspec.structs.replace(extent, reasoning=False)
        return None
