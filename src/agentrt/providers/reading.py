"""One answer, from the request to its end, the same for every wire format: ask, hand on what each read held, stop."""

from collections.abc import AsyncGenerator
from typing import Protocol

from agentrt.agents import Limits
from agentrt.messages import Usage

from .client import Chunk, Done
from .errors import ModelFailure
from .failures import is_page, not_an_api
from .reply import Reply
from .transport import NO_LIMITS, Transport

# We hung up on a model that was at work, or it did so itself: what it did may be billed.
_WORKED = frozenset({"timeout_first_token", "timeout_idle", "timeout_total", "truncated"})


class Reader(Protocol):
    """Reads the bytes of one answer in one wire format. Pure."""

    ended: bool
    """Nothing more is to come, whatever the connection does."""

    moved: bool
    """Whether what was fed last held at least one event."""

    @property
    def begun(self) -> bool:
        """Whether what came so far says that the model is at work."""
        ...

    def taken(self, *, worked: bool) -> Usage:
        """What an answer took that broke off, although the model `worked` on it, or not."""
        ...

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


async def _next(reply: Reply, reader: Reader) -> bytes:
    try:
        return await reply.read()
    except ModelFailure:
        if reader.complete:
            return b""  # the model had finished: only the end of the stream got lost
        raise
