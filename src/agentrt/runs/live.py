import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from agentrt.events import Delta, End, Record
from agentrt.journal import Journal

from .drive import Drive


class LiveRun:
    """A run, followed from its first event. `replayed`: an idempotency key led here to a run that was there before.

    Iterating gives batches, the last one ending with the run's end. It ends early, without one, when the server goes down,
    and raises Unavailable where the run cannot be carried on now.
    """

    def __init__(
        self,
        journal: Journal,
        run_id: str,
        session_id: str,
        *,
        created_at: int,
        drive: Drive | None = None,
    ) -> None:
        self._journal, self._drive = journal, drive
        self.id, self.session_id = run_id, session_id
        self.created_at = created_at

    @property
    def replayed(self) -> bool:
        return self._drive is None

    @property
    def outside_s(self) -> float:
        """Seconds that models and tools have taken so far, a call under way not counted."""
        return self._drive.outside_s if self._drive else 0.0

    def __aiter__(self) -> AsyncIterator[list[Record | Delta]]:
        return self._tail(live=True)

    def whole_messages(self) -> AsyncIterator[list[Record | Delta]]:
        """The same for a reader who does not show text while it is written: cheaper."""
        return self._tail(live=False)

    def _tail(self, *, live: bool) -> AsyncIterator[list[Record | Delta]]:
        batches = self._journal.tail(self.id, live=live)
        told = None if self._drive is None else self._drive.told
        return batches if told is None else _once_told(batches, told)


async def _once_told(batches: AsyncGenerator[list[Record | Delta]], told: asyncio.Event) -> AsyncGenerator[list[Record | Delta]]:
    """The same, but the end of a child is seen only once its parent knows what it took."""
    async with aclosing(batches):
        async for batch in batches:
            if isinstance(batch[-1], Record) and isinstance(batch[-1].event, End):
                await told.wait()
            yield batch
