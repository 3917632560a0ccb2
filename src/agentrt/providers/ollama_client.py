from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from .client import Chunk, ModelAsk
from .errors import ModelFailure
from .model_list import model_list
from .ollama_request import request_body
from .ollama_response import OllamaReader
from .reading import read_answer
from .transport import Transport


class _Listed(msgspec.Struct):
    name: str


class _Listing(msgspec.Struct):
    models: list[_Listed] | None = None


class OllamaClient:
    """Ollama's own API, which knows the size of the context and thinking; its OpenAI surface cuts conversations silently.

    `num_ctx` is the context to reserve for every call, in tokens; None leaves it to the server.
    """

    def __init__(self, transport: Transport, num_ctx: int | None = None) -> None:
        self._transport, self._num_ctx = transport, num_ctx

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider."""
        provider = self._transport.provider
        body = request_body(ask, provider, self._num_ctx)
        reader = OllamaReader(provider, ask, self._transport.secrets)
        try:
            async with aclosing(read_answer(self._transport, "/api/chat", body, reader, ask.limits)) as answer:
                async for chunks in answer:
                    yield chunks
        except ModelFailure as failure:
            if failure.status == 404:
                raise _not_pulled(provider, ask.model, failure) from failure
            raise

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The models that were pulled; ModelFailure where they are not listed in Ollama's form."""
        found = await model_list(self._transport, "/api/tags", _Listing, "Ollama", within_s)
        return [model.name for model in found.models or ()]


def _not_pulled(provider: str, model: str, failure: ModelFailure) -> ModelFailure:
    """A 404 names the model where it is missing; any other says that something else listens there."""
    if "model" in failure.message and model.partition(":")[0] in failure.message:
        why = f"{provider} does not have the model {model}: run `ollama pull {model}` where it runs"
    else:
        why = f"{failure.message} (is it Ollama that answers there?)"
    return ModelFailure(why, code="not_found", status=404)
