"""One answer, from the request to its end, the same for every wire format: ask, hand on what each read held, stop."""

from collections.abc import AsyncGenerator
from typing import Protocol

from agentrt.agents import Limits

from .client import Chunk, Done
from .errors import ModelFailure
from .failures import is_page, not_an_api
from .reply import Reply
from .transport import NO_LIMITS, Transport


class Reader(Protocol):
    """Reads the bytes of one answer in one wire format. Pure."""

    ended: bool
    """Nothing more is to come, whatever the connection does."""

    @property
    def complete(self) -> bool:
        """Whether the model said that it has finished."""
        ...

    def feed(self, piece: bytes) -> list[Chunk]:
        """The chunks in what was read, possibly none. ModelFailure for an error or what cannot be understood."""
        ...

    def end(self) -> list[Chunk]:
        """The body is over: the chunks in what an unfinished event still held."""
        ...

    def whole(self, body: bytes) -> list[Chunk]:
        """The chunks of an answer that came as one JSON document although a stream was asked for."""
        ...

    def done(self) -> Done:
        """The whole message; ModelFailure `truncated` where the stream ended before the model did."""
        ...


async def read_answer(
    transport: Transport, path: str, body: bytes, reader: Reader, limits: Limits = NO_LIMITS
) -> AsyncGenerator[list[Chunk]]:
    """What `ModelClient.stream` promises: post `body` to `path` and read the answer. `limits` come before the provider's."""
    reply = await transport.post(path, body, limits)
    try:
        if reply.content_type.startswith("application/json"):
            chunks = reader.whole(await reply.whole())
            yield [*chunks, reader.done()]
            return
        if is_page(reply.content_type, b""):
            raise not_an_api(transport.provider, reply.status, transport.wire)
        while not reader.ended and (piece := await _next(reply, reader)):
            chunks = reader.feed(piece)
            if reader.ended:
                chunks.append(reader.done())
            if chunks:
                yield chunks
        if not reader.ended:
            yield [*reader.end(), reader.done()]
        await reply.finish()
    finally:
        await reply.leave()


async def _next(reply: Reply, reader: Reader) -> bytes:
    try:
        return await reply.read()
    except ModelFailure:
        if reader.complete:
            return b""  # the model had finished: only the end of the stream got lost
        raise
