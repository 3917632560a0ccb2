"""One server for one database: two of them would each believe that the other's runs were left behind by a crash."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agentrt.kernel import Conflict, Unavailable

from .database import Database

log = structlog.get_logger()

# Any number, as long as every agentrt asks for the same one.
_LOCK = 724312
_LOOK_S = 5.0


class Ownership:
    """Held for as long as the block runs; the system gives it up for us when the process dies. Conflict where it is taken.

    On PostgreSQL it is held by a connection. One that is lost is replaced, and the lock taken again, within `look_s`.
    """

    def __init__(self, db: Database, *, look_s: float = _LOOK_S) -> None:
        self._db, self._look_s = db, look_s

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        if self._db.dialect == "sqlite":
            with _locked_file(Path(f"{self._db.url.database}.lock")):
                yield
            return
        taken = asyncio.get_running_loop().create_future()
        group = asyncio.TaskGroup()
        await group.__aenter__()
        keeper = group.create_task(self._keep(taken), name="keep the database's lock")
        try:
            await taken
            yield
        finally:
            keeper.cancel()
            await group.__aexit__(None, None, None)

    async def _keep(self, taken: asyncio.Future[None]) -> None:
        """Hold the lock until cancelled; `taken` tells whether the first attempt got it."""
        while True:
            try:
                async with self._db.read() as conn:
                    await _lock(conn)
                    if not taken.done():
                        taken.set_result(None)
                    try:
                        await self._look_after(conn)
                    finally:
                        await conn.invalidate()  # in the pool it would still hold the lock
            except (Conflict, Unavailable) as exc:
                if not taken.done():
                    taken.set_exception(exc)
                    return
                log.error("database.lock_lost", reason=exc.message)
                await asyncio.sleep(self._look_s)

    async def _look_after(self, conn: AsyncConnection) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            await conn.execute(text("SELECT 1"))
            await conn.commit()


async def _lock(conn: AsyncConnection) -> None:
    if not await conn.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})")):
        raise _taken()
    await conn.commit()  # the lock is the connection's; an open transaction would only hold up vacuum


@contextlib.contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Conflict(
            f"the folder of the database cannot be written: {(exc.strerror or str(exc)).lower()}", code="data_dir_not_writable"
        ) from exc
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _taken(os.pread(handle, 20, 0).decode(errors="replace").strip()) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(handle)


def _taken(pid: str = "") -> Conflict:
    who = f"another agentrt server (process {pid})" if pid else "another agentrt server"
    return Conflict(f"{who} uses this database; stop it, or give this one another data folder", code="database_in_use")
