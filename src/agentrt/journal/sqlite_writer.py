"""The group-commit writer for SQLite: one thread, one connection, every append that waits in one transaction."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence

from agentrt.db import WRITER_PRAGMAS, unavailable
from agentrt.kernel import Clock, Conflict, Unavailable

from .append import INSERT_EVENT, SELECT_HEAD, Append, Projector

MAX_BATCH = 512


class SqliteWriter:
    """`submit` from the event loop; each append's future is settled there too, after its commit."""

    def __init__(
        self,
        path: str,
        synchronous: str,
        clock: Clock,
        projectors: Sequence[Projector],
        settled: Callable[[Sequence[Append]], None],
    ) -> None:
        self._path, self._synchronous, self._clock = path, synchronous, clock
        self._projectors, self._settled = projectors, settled
        self._queue: queue.SimpleQueue[Append | None] = queue.SimpleQueue()
        self._heads: dict[str, int] = {}

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._conn = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            for pragma in (*WRITER_PRAGMAS, f"synchronous={self._synchronous}"):
                self._conn.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as exc:
            raise unavailable(exc) from exc
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def submit(self, append: Append) -> None:
        self._queue.put(append)

    async def close(self) -> None:
        """Write what was submitted, then stop."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._conn.close()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = [first], False
            while len(batch) < MAX_BATCH and not last:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                else:
                    batch.append(item)
            self._commit(batch)
            self._loop.call_soon_threadsafe(self._settled, batch)
            if last:
                return

    def _commit(self, batch: list[Append]) -> None:
        try:
            self._conn.execute("BEGIN IMMEDIATE")
            for append in batch:
                self._write(append)
            self._conn.execute("COMMIT")
        except Exception as exc:  # whatever it was, nobody in this batch may believe it was written
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK")
            for append in batch:
                self._heads.pop(append.run_id, None)
            if len(batch) == 1:
                batch[0].error = unavailable(exc) if isinstance(exc, sqlite3.Error) else exc
            else:  # one bad append must not fail its neighbours
                for append in batch:
                    append.error = None
                    self._commit([append])

    def _write(self, append: Append) -> None:
        run_id, heads = append.run_id, self._heads
        head = heads.get(run_id)
        if head is None:
            head = self._conn.execute(SELECT_HEAD, {"run_id": run_id}).fetchone()[0]
        if append.after is not None and append.after != head:
            append.error = Conflict(f"run {run_id} is past event {append.after}")
            return
        append.place(head, self._clock.now_us())
        self._conn.executemany(INSERT_EVENT, append.rows())
        for project in self._projectors:
            for statement in project(append.records):
                done = self._conn.execute(statement.sql, statement.params)
                if done.rowcount < 1 and not statement.may_miss:
                    raise Unavailable("the database took a write that changed nothing", code="database_unavailable")
        if append.ends_run:
            heads.pop(run_id, None)
        else:
            heads[run_id] = head + len(append.records)
