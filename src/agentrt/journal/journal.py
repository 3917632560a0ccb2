"""The append-only log of runs: the single source of truth."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Self

import structlog
from sqlalchemy import delete, select

from agentrt.bus import Bus, RunMoved
from agentrt.db import Database
from agentrt.events import Delta, LiveEvent, Record, StoredEvent, ends
from agentrt.kernel import Clock, Unavailable

from .append import Append, Projector, decode
from .feed import Feeds, Reader
from .postgres_writer import PostgresWriter
from .rows import run_events
from .sqlite_writer import SqliteWriter
from .tail import Place

log = structlog.get_logger()


class Journal:
    """Opened as an async context manager; closing writes what was submitted and ends every tail."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        clock: Clock,
        projectors: Sequence[Projector],
        observers: Sequence[Callable[[Sequence[Record]], None]] = (),
    ) -> None:
        self._db, self._bus, self._clock, self._observers = db, bus, clock, observers
        self._feeds = Feeds()
        if db.dialect == "sqlite":
            path = db.url.database or ":memory:"
            self._writer = SqliteWriter(path, db.synchronous, clock, projectors, self._settle)
        else:
            self._writer = PostgresWriter(db, clock, projectors, self._settle)

    async def __aenter__(self) -> Self:
        await self._writer.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._feeds.close()
        await self._writer.close()

    def end_tails(self) -> None:
        """End every tail now; what is still appended is written, but nobody is told."""
        self._feeds.close()

    async def append(self, run_id: str, events: Sequence[StoredEvent], after: int | None = None) -> list[Record]:
        """Write `events` at the end of the run; durable when it returns.

        With `after`: only right behind that seq, else Conflict (the log has moved on). Unavailable where the database
        refuses, Invalid where it refuses a value and always will. A cancelled caller does not undo the write.
        """
        future: asyncio.Future[list[Record]] = asyncio.get_running_loop().create_future()
        self._writer.submit(Append(run_id, events, after, future))
        return await future

    async def read(self, run_id: str, after: int = 0) -> list[Record]:
        """The records past `after`, in order."""
        columns = run_events.c
        query = select(run_events).where(columns.run_id == run_id, columns.seq > after).order_by(columns.seq)
        async with self._db.read() as conn:
            rows = (await conn.execute(query)).all()
        return [Record(row.run_id, row.seq, row.at, decode(row.body)) for row in rows]

    async def begun(self, run_ids: Sequence[str]) -> set[str]:
        """Those of these runs that have ever begun."""
        query = select(run_events.c.run_id).where(run_events.c.run_id.in_(run_ids), run_events.c.seq == 1)
        async with self._db.read() as conn:
            return set(await conn.scalars(query))

    async def purge(self, run_ids: Sequence[str]) -> None:
        """Delete every event of these runs, which must have ended."""
        async with self._db.write() as conn:
            await conn.execute(delete(run_events).where(run_events.c.run_id.in_(run_ids)))

    def show(self, run_id: str, step: int, events: Sequence[LiveEvent]) -> None:
        """Show live events of model call `step` to whoever follows the run; they are not stored."""
        self._feeds.show(run_id, step, self._clock.now_us(), events)

    def discard(self, run_id: str) -> str:
        """Forget the open call's live text, and return it."""
        return self._feeds.discard(run_id)

    def fail(self, run_id: str, error: Exception) -> None:
        """End the tails of a run that cannot be carried on for now: they raise `error`. The log stays as it is."""
        self._feeds.fail(run_id, error)

    async def tail(self, run_id: str, cursor: str = "0", *, live: bool = True) -> AsyncGenerator[list[Record | Delta]]:
        """Everything past `cursor` in batches: replay, then live, to the end of the run (or of the journal).

        Each record comes once, each character of visible text once; not `live`: the text of a call as one piece, at its end.
        Invalid for a bad cursor.
        """
        place = Place(cursor)
        with self._feeds.reader(run_id, live=live) as reader:
            while True:
                reader.lagged = False
                shown = self._feeds.shown(run_id)
                records = self._feeds.recent(run_id)
                if records is None:
                    records = _to_end(await self.read(run_id, place.seq))
                ended = bool(records) and ends(records[-1].event)  # now: `recent` grows while a reader is slow
                batch = [out for record in records for out in place.take(record)]
                if live:
                    batch += place.catch_up(run_id, self._clock.now_us(), *shown)
                if batch:
                    yield batch
                if ended:
                    return
                while await _something(reader):
                    batch, ended = _taken(reader, place)
                    if batch:
                        yield batch
                    if ended or (reader.ended and not reader.items):
                        return

    def trouble(self) -> str:
        """Why the database refused a moment ago, where it has not answered since; else empty."""
        return self._db.trouble()

    def _settle(self, batch: Sequence[Append]) -> None:
        newest = batch[-1].error
        if isinstance(newest, Unavailable):
            self._db.refused("write", newest)
        else:
            self._db.answered("write")
        for append in batch:
            if append.error is not None:
                if not append.future.done():
                    append.future.set_exception(append.error)
                continue
            self._feeds.committed(append.records)
            self._bus.publish(RunMoved(append.run_id, ended=append.ends_run))
            if not append.future.done():
                append.future.set_result(append.records)
            self._observe(append.records)

    def _observe(self, records: Sequence[Record]) -> None:
        for observe in self._observers:
            try:
                observe(records)
            except Exception:  # who only looks must not keep anybody from going on
                log.exception("journal.observer_failed", run_id=records[0].run_id)


def _to_end(records: Sequence[Record]) -> Sequence[Record]:
    """Without what was added to the log after the run's end: a late cancel, what a cancelled call took."""
    end = next((n for n, record in enumerate(records, 1) if ends(record.event)), len(records))
    return records[:end]


async def _something(reader: Reader) -> bool:
    """Wait for what the reader's queue brings; False where it lagged."""
    await reader.wait()
    if reader.lagged:
        return False
    if reader.error is not None:
        raise reader.error
    return True


def _taken(reader: Reader, place: Place) -> tuple[list[Record | Delta], bool]:
    """What the queue holds, up to the run's end, and whether that was in it."""
    batch: list[Record | Delta] = []
    ended = False
    while reader.items and not ended:  # something may stand in the log behind the end
        item = reader.items.popleft()
        batch += place.take(item)
        ended = isinstance(item, Record) and ends(item.event)
    return batch, ended
