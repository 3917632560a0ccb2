"""The group-commit writer for PostgreSQL: one task, every append that waits in one transaction."""

import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from agentrt.db import Database, refuses_value, unstorable
from agentrt.kernel import Clock, Conflict, Unavailable

from .append import INSERT_EVENT, SELECT_HEAD, Append, Projector

MAX_BATCH = 512
_COLUMNS = ("run_id", "seq", "at", "body")


class PostgresWriter:
    """`submit` from the event loop; each append's future is settled after its commit."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        projectors: Sequence[Projector],
        settled: Callable[[Sequence[Append]], None],
    ) -> None:
        self._db, self._clock, self._projectors, self._settled = db, clock, projectors, settled
        self._queue: asyncio.Queue[Append | None] = asyncio.Queue()
        self._heads: dict[str, int] = {}
        self._group = asyncio.TaskGroup()

    async def open(self) -> None:
        await self._group.__aenter__()
        self._group.create_task(self._work(), name="journal")

    def submit(self, append: Append) -> None:
        self._queue.put_nowait(append)

    async def close(self) -> None:
        """Write what was submitted, then stop."""
        self._queue.put_nowait(None)
        await self._group.__aexit__(None, None, None)

    async def _work(self) -> None:
        while (first := await self._queue.get()) is not None:
            batch, last = [first], False
            while len(batch) < MAX_BATCH and not last and not self._queue.empty():
                item = self._queue.get_nowait()
                if item is None:
                    last = True
                else:
                    batch.append(item)
            await self._commit(batch)
            self._settled(batch)
            if last:
                return

    async def _commit(self, batch: list[Append]) -> None:
        reached = False
        try:
            async with self._db.write() as conn:
                reached = True
                for append in batch:
                    await self._write(conn, append)
        except Exception as exc:  # whatever it was, nobody in this batch may believe it was written
            for append in batch:
                self._heads.pop(append.run_id, None)
            if len(batch) == 1 or not reached:  # what cannot be reached refuses all alike
                for append in batch:
                    append.error = _error(exc)
            else:  # one bad append must not fail its neighbours
                for append in batch:
                    append.error = None
                    await self._commit([append])

    async def _write(self, conn: AsyncConnection, append: Append) -> None:
        run_id, heads = append.run_id, self._heads
        head = heads.get(run_id)
        if head is None:
            head = (await conn.execute(text(SELECT_HEAD), {"run_id": run_id})).scalar_one()
        if append.after is not None and append.after != head:
            append.error = Conflict(f"run {run_id} is past event {append.after}")
            return
        append.place(head, self._clock.now_us())
        await conn.execute(text(INSERT_EVENT), [dict(zip(_COLUMNS, row, strict=True)) for row in append.rows()])
        for project in self._projectors:
            for statement in project(append.records):
                done = await conn.execute(text(statement.sql), statement.params)
                if done.rowcount < 1 and not statement.may_miss:
                    raise Unavailable("the database took a write that changed nothing", code="database_unavailable")
        if append.ends_run:
            heads.pop(run_id, None)
        else:
            heads[run_id] = head + len(append.records)


def _error(exc: Exception) -> Exception:
    if isinstance(exc.__cause__, IntegrityError):
        return Conflict("the run moved on")
    return unstorable() if refuses_value(exc) else exc
