"""What is live: the records of runs under way as they are committed, and the text of the model call under way.

Nothing here is the truth. A reader that falls behind loses its queue, and reads the journal instead.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import get_args

from agentrt.events import Delta, End, LiveEvent, ModelCompleted, ModelFailed, Record, TextDelta, TextDiscarded, ends

CAPACITY = 20_000
RECENT = 256
_ENDS_CALL = frozenset({ModelCompleted, ModelFailed, *get_args(End)})


class Reader:
    """One follower's queue of what happens from now on. `lagged` says that it lost its place and must read again.

    `live`: whether it wants text while it is written.
    """

    __slots__ = ("_waiter", "ended", "error", "items", "lagged", "live")

    def __init__(self, live: bool) -> None:
        self.live = live
        self.items: deque[Record | Delta] = deque()
        self.lagged = False
        self.ended = False
        self.error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, items: Sequence[Record | Delta]) -> None:
        if len(self.items) > CAPACITY:
            self.items.clear()
            self.lagged = True
        if not self.lagged:
            self.items.extend(items)
        self.wake()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Until there is something to look at."""
        if self.items or self.ended or self.lagged:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class _Call:
    """The model call under way: its step and the visible text so far, since the record `voided` discarded what was before."""

    __slots__ = ("length", "pieces", "step", "voided")

    def __init__(self, step: int, voided: int = 0) -> None:
        self.step, self.voided, self.length = step, voided, 0
        self.pieces: list[str] = []


class Feeds:
    """The readers of each run under way, the text of its open call, and its records while they are few."""

    def __init__(self) -> None:
        self._readers: dict[str, list[Reader]] = {}
        self._calls: dict[str, _Call] = {}
        self._recent: dict[str, list[Record]] = {}
        self._closed = False

    def committed(self, records: Sequence[Record]) -> None:
        """Records of one run reached the journal."""
        run_id = records[0].run_id
        for record in records:
            if type(record.event) in _ENDS_CALL:
                self._calls.pop(run_id, None)
            elif isinstance(record.event, TextDiscarded):
                self._calls[run_id] = _Call(record.event.step, record.seq)
        self._remember(run_id, records)
        for reader in self._readers.get(run_id, ()):
            reader.put(records)

    def recent(self, run_id: str) -> list[Record] | None:
        """Every record of a run under way; None where only the journal knows them all."""
        return self._recent.get(run_id)

    def _remember(self, run_id: str, records: Sequence[Record]) -> None:
        if records[0].seq == 1:
            self._recent[run_id] = []
        kept = self._recent.get(run_id)
        if kept is None:
            return
        kept.extend(records)
        if len(kept) > RECENT or ends(records[-1].event):
            del self._recent[run_id]

    def show(self, run_id: str, step: int, at: int, events: Sequence[LiveEvent]) -> None:
        """Live events of model call `step`, in order."""
        call = self._calls.get(run_id)
        if call is None or call.step != step:
            call = self._calls[run_id] = _Call(step)
        live = [reader for reader in self._readers.get(run_id, ()) if reader.live]
        deltas: list[Delta] = []
        for event in events:
            if type(event) is TextDelta:
                call.pieces.append(event.text)
                call.length += len(event.text)
            if live:
                offset = call.length if type(event) is TextDelta else -1
                deltas.append(Delta(run_id, at, step, offset, event, call.voided))
        for reader in live:
            reader.put(deltas)

    def shown(self, run_id: str) -> tuple[int, str, int]:
        """The step of the open call, its visible text so far, and the seq of the record that voided what was before it (or 0);
        step 0 where none is open."""
        call = self._calls.get(run_id)
        return (call.step, "".join(call.pieces), call.voided) if call else (0, "", 0)

    def discard(self, run_id: str) -> str:
        """Forget the open call; its visible text."""
        _, text, _ = self.shown(run_id)
        self._calls.pop(run_id, None)
        return text

    @contextmanager
    def reader(self, run_id: str, *, live: bool = True) -> Iterator[Reader]:
        """Follow a run from now on, for the time of the block."""
        reader = Reader(live)
        reader.ended = self._closed
        self._readers.setdefault(run_id, []).append(reader)
        try:
            yield reader
        finally:
            readers = self._readers[run_id]
            readers.remove(reader)
            if not readers:
                del self._readers[run_id]

    def fail(self, run_id: str, error: Exception) -> None:
        """Tell the readers of a run that it cannot be carried on for now."""
        for reader in self._readers.get(run_id, ()):
            reader.error = error
            reader.end()

    def close(self) -> None:
        """End every reader after what it still holds: the server is going down."""
        self._closed = True
        for readers in self._readers.values():
            for reader in readers:
                reader.end()
