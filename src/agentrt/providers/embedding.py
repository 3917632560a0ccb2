"""Embeddings in OpenAI's dialect: the request and the answer pass through, its tokens are counted."""

from typing import Any, Protocol, runtime_checkable

import msgspec

from agentrt.messages import Usage

from .errors import ModelFailure
from .estimate import tokens_of
from .transport import Transport

# 2,048 texts at 3,072 numbers, written out.
_MOST_BYTES = 192 * 1024 * 1024


class Embedded(msgspec.Struct, frozen=True):
    """The provider's answer as it came, and what it took."""

    body: bytes
    usage: Usage


@runtime_checkable
class Embeds(Protocol):
    """A client whose provider makes embeddings in OpenAI's dialect."""

    async def embed(self, asked: dict[str, Any]) -> Embedded: ...


class _Used(msgspec.Struct):
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[msgspec.Raw]
    usage: _Used | None = None


async def embed(transport: Transport, asked: dict[str, Any]) -> Embedded:
    """Ask for embeddings; ModelFailure where there is no answer in OpenAI's form."""
    reply = await transport.post("/embeddings", msgspec.json.encode(asked))
    try:
        body = await reply.whole(_MOST_BYTES)
    finally:
        await reply.leave()
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ModelFailure(f"{transport.provider} sent no embeddings in OpenAI's form", code="malformed") from exc
    given = answer.usage.prompt_tokens if answer.usage else None
    usage = Usage(given) if given else Usage(tokens_in_input(asked["input"]), estimated=True)
    return Embedded(body, usage)


def tokens_in_input(given: Any) -> int:
    """Tokens of what is to be embedded: a text, a list of texts, tokens, or a list of lists of tokens."""
    if isinstance(given, str):
        return tokens_of(given)
    return sum(1 if isinstance(one, int) else tokens_in_input(one) for one in given)
