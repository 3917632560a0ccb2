"""One answer of a provider, read piece by piece, with an end to every wait."""

import asyncio
from contextlib import suppress
from typing import Literal, Protocol

from .connection_failures import HttpFailure, explained
from .entry import ProviderEntry
from .errors import ModelFailure
from .failures import is_page, not_an_api

# An error body or a list of models: more than this is not read.
MOST_BODY = 4 * 1024 * 1024

# The longest answers of the most verbose wires are a third of this; a stream without end must not fill the memory.
MOST_ANSWER = 128 * 1024 * 1024

# How long the end of a body is waited for once the answer is complete; beyond it a new connection is cheaper.
_TAIL_S = 0.05


Limit = Literal["first_token", "idle", "total"]
_LATE = {
    "first_token": "did not begin to answer within {:g} s",
    "idle": "sent nothing for {:g} s",
    "total": "did not finish its answer within {:g} s",
}


def late(provider: str, limit: Limit, seconds: float) -> ModelFailure:
    """The failure of an answer for which a time limit passed."""
    return ModelFailure(f"{provider} {_LATE[limit].format(seconds)}", code=f"timeout_{limit}", retryable=True)


class Exchange(Protocol):
    """An answer whose head is here, as a client of HTTP has it."""

    status: int

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        ...

    @property
    def content_type(self) -> str:
        """In lower case; empty where it is not said."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the body was read to its end."""
        ...

    async def read(self) -> bytes:
        """What has arrived since the last read, as one piece; empty at the end of the body. HttpFailure if it breaks off."""
        ...

    def close(self) -> None:
        """Hang up at once, unless it was read to its end. Who reads gets HttpFailure. Again is harmless."""
        ...

    async def gone(self) -> None:
        """Return once what `close` began is done, where it takes more than a moment."""
        ...


class Reply:
    """An answer whose head is here. Closing it hangs up at once, unless it was read to its end.

    One timer watches the whole answer: limits on every single read would cost more than the read.
    """

    def __init__(self, provider: str, entry: ProviderEntry, exchange: Exchange, began: float) -> None:
        self._provider, self._entry, self._exchange = provider, entry, exchange
        self._loop = asyncio.get_running_loop()
        self._began = began
        self._waiting_since: float | None = None
        self._waited = 0.0  # since the last event, by reads that have ended
        self._at_work = False
        self._size = 0
        self._late: ModelFailure | None = None
        self._timer = self._loop.call_later(min(entry.first_token_s, entry.idle_s, entry.total_s), self._look)

    @property
    def status(self) -> int:
        return self._exchange.status

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        return self._exchange.headers

    @property
    def content_type(self) -> str:
        return self._exchange.content_type

    async def read(self) -> bytes:
        """What has arrived since the last read, as one piece; empty at the end of the body. ModelFailure if it breaks off, or
        exceeds `MOST_ANSWER` bytes."""
        self._waiting_since = self._loop.time()
        try:
            piece = await self._exchange.read()
        except HttpFailure as exc:
            raise self._broken(exc) from exc
        self._waited += self._loop.time() - self._waiting_since
        self._waiting_since = None
        self._size += len(piece)
        if self._size > MOST_ANSWER:
            raise ModelFailure(f"{self._provider} sent an answer without end", code="malformed")
        return piece

    def heard(self, *, begun: bool = True) -> None:
        """What was read says something: the wait for the next begins. `begun`: the model is at work."""
        self._waited = 0.0
        self._at_work = self._at_work or begun

    async def whole(self, most: int = MOST_BODY) -> bytes:
        """The rest of the body; ModelFailure `malformed` where it exceeds `most` bytes or is a web page."""
        pieces, size = [], 0
        while piece := await self.read():
            self.heard()
            pieces.append(piece)
            size += len(piece)
            if size > most:
                why = f"{self._provider} sent more than {most} bytes instead of an answer"
                raise ModelFailure(why, code="malformed")
        body = b"".join(pieces)
        if self.status == 200 and is_page(self.content_type, body):
            raise not_an_api(self._provider, self.status, self._entry.wire)
        return body

    async def finish(self) -> None:
        """The answer is complete: give the connection back if the body ends now, else hang up."""
        if not self._exchange.ended:
            with suppress(TimeoutError, ModelFailure):
                async with asyncio.timeout(_TAIL_S):
                    while await self.read():
                        pass
        self.close()

    def close(self) -> None:
        self._timer.cancel()
        self._exchange.close()

    async def leave(self) -> None:
        """Close, and return once that is done."""
        self.close()
        await self._exchange.gone()

    def _broken(self, failure: HttpFailure) -> ModelFailure:
        if self._late:
            return self._late
        return explained(failure, self._provider, connect_s=self._entry.connect_s, answering=True)

    def _look(self) -> None:
        """Has the reader waited longer than allowed? Time in which nobody reads is our own and does not count."""
        now, entry = self._loop.time(), self._entry
        limit: Limit = "total"
        left, allowed = entry.total_s - (now - self._began), entry.total_s
        if left > 0 and self._waiting_since is not None:
            left, limit, allowed = min((left, limit, allowed), self._patience_left(self._waited + now - self._waiting_since, now))
        if left <= 0:
            self._late = late(self._provider, limit, allowed)
            self._exchange.close()
        else:
            self._timer = self._loop.call_later(min(left, entry.idle_s), self._look)

    def _patience_left(self, waited: float, now: float) -> tuple[float, Limit, float]:
        entry = self._entry
        if self._at_work:
            return entry.idle_s - waited, "idle", entry.idle_s
        return entry.first_token_s - (now - self._began), "first_token", entry.first_token_s
