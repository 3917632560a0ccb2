import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import structlog

from agentrt.messages import ToolCall

from .client import Chunk, ModelAsk
from .embedding import Embedded, embed
from .errors import ModelFailure
from .openai_reasoning import Returned, carries_reasoning
from .openai_request import request_body, with_cache_key
from .openai_response import OpenAIReader
from .reading import read_answer
from .transport import Transport

log = structlog.get_logger()

_DEMANDS = re.compile(
    r"missing\W{1,3}reasoning_content|reasoning_content\b.{0,60}(?:missing|required|must be (?:\w+ )?(?:passed|provided))",
    re.IGNORECASE,
)
_ABOUT_REASONING = re.compile(r"\breasoning(?:_content|_details)?\b", re.IGNORECASE)


class _Listed(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Listed] = []


class OpenAIClient:
    """Any provider that speaks OpenAI's chat completions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._returned: dict[str, Returned] = {}  # by models that were found to want something else

    def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider.

        A request that is refused for the reasoning that goes back with it, or does not, is made again as the provider wants it.
        """
        ask = with_cache_key(ask, self._transport.url)
        return self._with_reasoning(ask) if _has_calls(ask) else self._ask(ask, "none")

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

    async def _with_reasoning(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        how = self._returned.get(ask.model, "kept")
        try:
            async with aclosing(self._ask(ask, how)) as answer:
                async for chunks in answer:
                    yield chunks
            return
        except ModelFailure as failure:
            wanted = self._wanted(failure, ask, how)
            if wanted is None:
                raise
            log.warning("request.changed", provider=self._transport.provider, model=ask.model, reason=failure.message)
        async with aclosing(self._ask(ask, wanted)) as answer:
            async for chunks in answer:
                self._returned[ask.model] = wanted
                yield chunks

    def _wanted(self, failure: ModelFailure, ask: ModelAsk, how: Returned) -> Returned | None:
        """What of its reasoning a provider wants that refused the request with `how`; None where it refused another thing."""
        if failure.status not in (400, 422):
            return None
        if _DEMANDS.search(failure.message):
            return None if how == "demanded" else "demanded"
        returned = how == "demanded" or (how == "kept" and carries_reasoning(ask.messages, self._transport.provider))
        return "none" if returned and _ABOUT_REASONING.search(failure.message) else None

    def _ask(self, ask: ModelAsk, how: Returned) -> AsyncGenerator[list[Chunk]]:
        transport = self._transport
        reader = OpenAIReader(transport.provider, ask, transport.secrets)
        body = request_body(ask, transport.provider, how)
        return read_answer(transport, "/chat/completions", body, reader, ask.limits)


def _has_calls(ask: ModelAsk) -> bool:
    """Whether the model called tools in this conversation: only then any reasoning goes back."""
    said = (message for message in ask.messages if message.role == "assistant")
    return any(type(part) is ToolCall for message in said for part in message.parts)
