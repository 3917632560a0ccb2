"""The group-commit writer for SQLite: one thread, one connection, every append that waits in one transaction."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence

from agentrt.db import WRITER_PRAGMAS, refuses_value, unavailable, unstorable
from agentrt.kernel import Clock, Conflict, Unavailable

from .append import SELECT_HEAD, Append, Projector, Row

MAX_BATCH = 512
MAX_ROWS = 64


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
        self._queue: queue.SimpleQueue[list[Append] | None] = queue.SimpleQueue()
        self._waiting: list[Append] = []
        self._busy = False
        self._idle = asyncio.Event()
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
        self._waiting.append(append)
        if not self._busy and len(self._waiting) == 1:
            # not at once: what else this turn of the loop submits goes along, and the thread is woken once
            self._loop.call_soon(self._hand_over)

    async def close(self) -> None:
        """Write what was submitted, then stop."""
        while self._busy or self._waiting:
            self._idle.clear()
            await self._idle.wait()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._conn.close()

    def _hand_over(self) -> None:
        """Give the thread everything that waits; while it writes, the next batch forms here."""
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._busy = bool(batch)
        if batch:
            self._queue.put(batch)

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            self._commit(batch)
            self._loop.call_soon_threadsafe(self._committed, batch)

    def _committed(self, batch: list[Append]) -> None:
        try:
            self._settled(batch)
        finally:
            self._hand_over()
        if not self._busy:
            self._idle.set()

    def _commit(self, batch: list[Append]) -> None:
        try:
            self._conn.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as exc:  # it is refused to all alike; each on its own would only wait for the lock again
            for append in batch:
                append.error = unavailable(exc)
            return
        try:
            self._insert([row for append in batch if self._place(append) for row in append.rows()])
            for append in batch:
                if append.error is None:
                    self._project(append)
            self._conn.execute("COMMIT")
        except Exception as exc:  # whatever it was, nobody in this batch may believe it was written
            if self._conn.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # some failures have rolled back by themselves
                    self._conn.execute("ROLLBACK")
            for append in batch:
                self._heads.pop(append.run_id, None)
            if len(batch) == 1:
                batch[0].error = _error(exc)
            else:  # one bad append must not fail its neighbours
                for append in batch:
                    append.error = None
                    self._commit([append])

    def _place(self, append: Append) -> bool:
        """Give an append its seqs; False where the log has moved on."""
        run_id = append.run_id
        head = self._heads.get(run_id)
        if head is None:
            # a new run has no head to look for; should the id be taken after all, its key refuses the row
            head = 0 if append.after == 0 else self._conn.execute(SELECT_HEAD, {"run_id": run_id}).fetchone()[0]
        if append.after is not None and append.after != head:
            append.error = Conflict(f"run {run_id} is past event {append.after}")
            return False
        append.place(head, self._clock.now_us())
        if append.ends_run:
            self._heads.pop(run_id, None)
        else:
            self._heads[run_id] = head + len(append.records)
        return True

    def _insert(self, rows: list[Row]) -> None:
        """Many rows a statement: every step of a statement gives up the interpreter lock and must win it back."""
        for first in range(0, len(rows), MAX_ROWS):
            some = rows[first : first + MAX_ROWS]
            self._conn.execute(_INSERTS[len(some)], [value for row in some for value in row])

    def _project(self, append: Append) -> None:
        for project in self._projectors:
            for statement in project(append.records):
                done = self._conn.execute(statement.sql, statement.params)
                if done.rowcount < 1 and not statement.may_miss:
                    raise Unavailable("the database took a write that changed nothing", code="database_unavailable")


_INSERTS = {
    count: "INSERT INTO run_events (run_id, seq, at, body) VALUES " + ", ".join(["(?, ?, ?, ?)"] * count)
    for count in range(1, MAX_ROWS + 1)
}


def _error(exc: Exception) -> Exception:
    if isinstance(exc, sqlite3.IntegrityError):
        return Conflict("the run moved on")
    if refuses_value(exc):
        return unstorable()
    return unavailable(exc) if isinstance(exc, sqlite3.Error) else exc
