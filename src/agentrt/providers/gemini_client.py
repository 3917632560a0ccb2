from collections.abc import AsyncGenerator
from urllib.parse import quote

import msgspec

from .client import Chunk, ModelAsk
from .errors import ModelFailure
from .gemini_request import request_body
from .gemini_response import GeminiReader
from .model_list import model_list
from .reading import read_answer, read_pieces
from .transport import Transport
from .wires import version_path

_MOST_PAGES = 20


class _Listed(msgspec.Struct, rename="camel"):
    name: str
    supported_generation_methods: list[str] | None = None


class _Listing(msgspec.Struct, rename="camel"):
    models: list[_Listed] = []
    next_page_token: str = ""


class GeminiClient:
    """Gemini's own API, Google AI's and what speaks like it. `version` leads every path unless the address holds one."""

    def __init__(self, transport: Transport, version: str) -> None:
        self._transport = transport
        self._root = version_path(transport.url, version)

    def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives; ModelFailure where there is no whole one. Closing it hangs up on the provider.

        One that is longer than the model says in one go is gone on with until it ends.
        """
        provider = self._transport.provider
        path = f"{self._root}/{_place(provider, ask.model)}:streamGenerateContent?alt=sse"
        reader = GeminiReader(provider, ask, self._transport.secrets)

        def piece() -> AsyncGenerator[list[Chunk]]:
            body = request_body(ask, provider, reader.continuation)
            return read_answer(self._transport, path, body, reader, ask.limits)

        return read_pieces(provider, reader, piece)

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids of the models that can be asked for content; ModelFailure where they are not listed in Gemini's form."""
        found: list[str] = []
        token = ""
        for _ in range(_MOST_PAGES):
            more = f"&pageToken={quote(token, safe='')}" if token else ""
            path = f"{self._root}/models?pageSize=1000{more}"
            page = await model_list(self._transport, path, _Listing, "Gemini", within_s)
            found += [model.name.removeprefix("models/") for model in page.models if _speaks(model)]
            if not (token := page.next_page_token):
                break
        return found


def _place(provider: str, model: str) -> str:
    """The path of a model: a bare id is one of `models/`, another collection (`tunedModels/x`) is named with it."""
    if any(step in ("", ".", "..") for step in model.split("/")):
        raise ModelFailure(f"{provider} has no model of the name {model!r}", code="not_found")
    return quote(model if "/" in model else f"models/{model}", safe="/:@")


def _speaks(model: _Listed) -> bool:
    methods = model.supported_generation_methods
    return methods is None or "generateContent" in methods or "streamGenerateContent" in methods
