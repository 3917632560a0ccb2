"""One answer, from the request to its end, the same for every wire format: ask, hand on what each read held, stop."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from agentrt.agents import Limits

from .client import Chunk, Done
from .errors import ModelFailure
from .event_reader import EventReader
from .failures import is_page, not_an_api
from .reply import Reply
from .transport import NO_LIMITS, Transport

# A model pauses where its own tools work for long, or its answer is; one in more pieces than this is going in circles.
_MOST_PIECES = 20
# We hung up on a model that was at work, or it did so itself: what it did may be billed.
_WORKED = frozenset({"timeout_first_token", "timeout_idle", "timeout_total", "truncated"})


class Pausing(Protocol):
    """A reader of an answer that may come in pieces, each asked for."""

    @property
    def paused(self) -> bool:
        """Whether the model stopped only to be asked to go on."""
        ...

    def resume(self) -> None:
        """What is fed from here on goes on with the same answer."""
        ...


async def read_answer(
    transport: Transport, path: str, body: bytes, reader: EventReader, limits: Limits = NO_LIMITS
) -> AsyncGenerator[list[Chunk]]:
    """What `ModelClient.stream` promises: post `body` to `path` and read the answer. `limits` come before the provider's."""
    try:
        reply = await transport.post(path, body, limits)
    except ModelFailure as failure:
        failure.usage = reader.taken(worked=failure.code in _WORKED)
        raise
    try:
        if reply.content_type.startswith("application/json"):
            chunks = reader.whole(await reply.whole())
            yield [*chunks, reader.done()]
            return
        if is_page(reply.content_type, b""):
            raise not_an_api(transport.provider, reply.status, transport.wire)
        while not reader.ended and (piece := await _next(reply, reader)):
            chunks = reader.feed(piece)
            if reader.moved:
                reply.heard(begun=reader.begun)
            if reader.ended:
                chunks.append(reader.done())
            if chunks:
                yield chunks
        if not reader.ended:
            yield [*reader.end(), reader.done()]
        await reply.finish()
    except ModelFailure as failure:
        failure.usage = reader.taken(worked=failure.code in _WORKED or failure.code == "connection")
        raise
    finally:
        await reply.leave()


async def read_pieces(
    provider: str, reader: Pausing, ask: Callable[[], AsyncGenerator[list[Chunk]]]
) -> AsyncGenerator[list[Chunk]]:
    """An answer that its model pauses, gone on with until it ends, as one. `ask` begins the next piece."""
    for _ in range(_MOST_PIECES):
        async with aclosing(ask()) as piece:
            async for chunks in piece:
                if not reader.paused or type(chunks[-1]) is not Done:
                    yield chunks
                elif shown := chunks[:-1]:
                    yield shown
        if not reader.paused:
            return
        reader.resume()
    raise ModelFailure(f"{provider} paused its answer {_MOST_PIECES} times", code="truncated", retryable=False)


async def _next(reply: Reply, reader: EventReader) -> bytes:
    try:
        return await reply.read()
    except ModelFailure:
        if reader.complete:
            return b""  # the model had finished: only the end of the stream got lost
        raise
