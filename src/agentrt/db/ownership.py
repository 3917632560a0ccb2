"""One server for one database: two of them would each believe that the other's runs were left behind by a crash."""

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from sqlalchemy import text

from agentrt.kernel import Conflict

from .database import Database

# Any number, as long as every agentrt asks for the same one.
_LOCK = 724312


class Ownership:
    """Held for as long as the block runs; the system gives it up for us when the process dies. Conflict where it is taken."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        if self._db.dialect == "sqlite":
            with _locked_file(Path(f"{self._db.url.database}.lock")):
                yield
            return
        async with self._db.read() as conn:
            if not await conn.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})")):
                raise _taken()
            await conn.commit()  # the lock is the connection's; an open transaction would only hold up vacuum
            yield


@contextlib.contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Conflict(f"the data folder cannot be written: {exc.strerror}", code="data_dir_not_writable") from exc
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _taken() from None
        yield
    finally:
        os.close(handle)


def _taken() -> Conflict:
    return Conflict(
        "another agentrt server uses this database; stop it, or give this one another data folder", code="database_in_use"
    )
