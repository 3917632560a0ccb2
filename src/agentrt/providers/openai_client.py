import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

import structlog

from agentrt.messages import ToolCall

from .client import Chunk, ModelAsk
from .embedding import Embedded, embed
from .errors import ModelFailure
from .model_list import ModelList, model_list
from .openai_reasoning import Returned, carries_reasoning
from .openai_request import reasons, request_body, with_cache_key
from .openai_response import OpenAIReader
from .reading import read_answer
from .transport import Transport

if TYPE_CHECKING:
    from .responses_client import ResponsesClient

log = structlog.get_logger()

_Way = Returned | Literal["responses"]
"""How a model is asked: with so much of its earlier reasoning, or by the Responses API."""

_ELSEWHERE = re.compile(r"\bv1/responses\b")
_DEMANDS = re.compile(
    r"missing\W{1,3}reasoning_content|reasoning_content\b.{0,60}(?:missing|required|must be (?:\w+ )?(?:passed|provided))",
    re.IGNORECASE,
)
_ABOUT_REASONING = re.compile(r"\breasoning(?:_content|_details)?\b", re.IGNORECASE)


class OpenAIClient:
    """Any provider that speaks OpenAI's chat completions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._ways: dict[str, _Way] = {}  # of models that were found to want another one
        self._responses: ResponsesClient | None = None

    def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider.

        A request that is refused for the reasoning that goes back with it, or does not, is made again as the provider wants
        it; one that it takes by the Responses API only, such as tools for OpenAI's newest models, is made there.
        """
        ask = with_cache_key(ask, self._transport.url)
        return self._as_wanted(ask) if _has_calls(ask) or reasons(ask.model) else self._ask(ask, "none")

    async def embed(self, asked: dict[str, Any]) -> Embedded:
        """Embeddings, asked for and given in OpenAI's form; ModelFailure where there are none."""
        return await embed(self._transport, asked)

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in OpenAI's form."""
        return (await model_list(self._transport, "/models", ModelList, "OpenAI", within_s)).ids

    async def _as_wanted(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        way = self._ways.get(ask.model, "kept")
        try:
            async with aclosing(self._ask(ask, way)) as answer:
                async for chunks in answer:
                    yield chunks
            return
        except ModelFailure as failure:
            wanted = self._wanted(failure, ask, way)
            if wanted is None:
                raise
            refusal = failure
            log.warning("request.changed", provider=self._transport.provider, model=ask.model, reason=failure.message)
        try:
            async with aclosing(self._ask(ask, wanted)) as answer:
                async for chunks in answer:
                    self._ways[ask.model] = wanted
                    yield chunks
        except ModelFailure as failure:
            if failure.status == 404:
                raise refusal from failure  # what it names is not there
            raise

    def _wanted(self, failure: ModelFailure, ask: ModelAsk, how: _Way) -> _Way | None:
        """How a model is to be asked that refused to be asked like this; None where it refused another thing."""
        if how == "responses":
            return None
        if failure.status in (400, 404) and _ELSEWHERE.search(failure.message):
            return "responses"
        if failure.status not in (400, 422):
            return None
        if _DEMANDS.search(failure.message):
            return None if how == "demanded" else "demanded"
        returned = how == "demanded" or (how == "kept" and carries_reasoning(ask.messages, self._transport.provider))
        return "none" if returned and _ABOUT_REASONING.search(failure.message) else None

    def _ask(self, ask: ModelAsk, how: _Way) -> AsyncGenerator[list[Chunk]]:
        transport = self._transport
        if how == "responses":
            return self._other_api().stream(ask)
        reader = OpenAIReader(transport.provider, ask, transport.secrets)
        body = request_body(ask, transport.provider, how)
        return read_answer(transport, "/chat/completions", body, reader, ask.limits)

    def _other_api(self) -> "ResponsesClient":
        if self._responses is None:
            from .responses_client import ResponsesClient

            self._responses = ResponsesClient(self._transport)
        return self._responses


def _has_calls(ask: ModelAsk) -> bool:
    """Whether the model called tools in this conversation: only then any reasoning goes back."""
    said = (message for message in ask.messages if message.role == "assistant")
    return any(type(part) is ToolCall for message in said for part in message.parts)
