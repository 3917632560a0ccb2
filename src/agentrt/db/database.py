"""The database off the hot path: one engine for reading, one for writing, SQLAlchemy Core. Runs are written by `journal`."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from sqlalchemy import Connection, Insert, MetaData, Table, event, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agentrt.kernel import AgentrtError, Invalid, Unavailable

TROUBLE_S = 30.0
Use = Literal["read", "write"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Database:
    """SQLite through aiosqlite, or PostgreSQL through asyncpg, by URL.

    On SQLite the writer is one connection that queues and readers are separate; on PostgreSQL they are one pool.
    """

    def __init__(self, url: str, *, synchronous: Literal["normal", "full"] = "normal") -> None:
        self.url = make_url(url)
        self.dialect: Literal["sqlite", "postgresql"] = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        self.synchronous = synchronous
        self._refused: dict[Use, tuple[str, float]] = {}
        if self.dialect == "sqlite":
            self._writer = create_async_engine(url, pool_size=1, max_overflow=0)
            self._reader = create_async_engine(url, pool_size=4, max_overflow=0)
            _tune_sqlite(self._writer, "BEGIN IMMEDIATE", [*WRITER_PRAGMAS, f"synchronous={synchronous}"])
            _tune_sqlite(self._reader, "BEGIN", ["busy_timeout=10000", "query_only=ON"])
        else:
            # a server that no longer answers must not hold us for ever
            limits = {"timeout": 10, "command_timeout": 60}
            self._writer = self._reader = create_async_engine(
                url, pool_size=5, max_overflow=5, pool_pre_ping=True, connect_args=limits
            )

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read with; Unavailable with the reason where the database does not answer, Invalid where it cannot
        take a value that it was given."""
        try:
            async with self._reader.connect() as conn:
                yield conn
        except (DBAPIError, PoolTimeout, OSError) as exc:
            raise self._failure("read", exc) from exc
        self.answered("read")

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: commits if the block ends, rolls back if it raises. Fails as `read` does."""
        try:
            async with self._writer.begin() as conn:
                yield conn
        except (DBAPIError, PoolTimeout, OSError) as exc:
            raise self._failure("write", exc) from exc
        self.answered("write")

    def _failure(self, use: Use, exc: BaseException) -> AgentrtError:
        """What a key or a column refuses is no trouble of the database: it answered."""
        if refuses_value(exc):
            return unstorable()
        why = unavailable(exc)
        return why if isinstance(exc, IntegrityError) else self.refused(use, why)

    def refused(self, use: Use, why: Unavailable) -> Unavailable:
        """Remember it for `trouble`; gives `why` back."""
        self._refused[use] = why.message, time.monotonic()
        return why

    def answered(self, use: Use) -> None:
        self._refused.pop(use, None)

    def trouble(self) -> str:
        """Why the database refused a moment ago, where it has not answered since; else empty."""
        since = time.monotonic() - TROUBLE_S
        return next((why for why, at in self._refused.values() if at > since), "")

    def insert_new(self, table: Table) -> Insert:
        """An insert that passes over rows that are there already."""
        if self.dialect == "sqlite":
            from sqlalchemy.dialects.sqlite import insert

            return insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects.postgresql import insert as pg_insert  # 2 MiB that only PostgreSQL needs

        return pg_insert(table).on_conflict_do_nothing()

    async def close(self) -> None:
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()


WRITER_PRAGMAS = ["journal_mode=WAL", "busy_timeout=10000", "foreign_keys=ON", "journal_size_limit=67108864"]

_REASONS = {
    "disk is full": "the disk is full",
    "database or disk is full": "the disk is full",
    "readonly": "it is read-only",
    "read-only": "it is read-only",
    "No space left": "the disk is full",
    "password authentication failed": "it does not accept the password",
    "does not exist": "it has no such database, user or table",
    "starting up": "it is starting up",
    "shutting down": "it is shutting down",
    "too many clients": "it has no connection left",
    "QueuePool limit": "it is too busy",
    "locked": "another process holds it locked",
    "unable to open": "its file cannot be opened",
    "disk I/O error": "the disk gave an input/output error",
    "malformed": "its file is damaged",
    "not a database": "its file is not a database",
    "Connect call failed": "it cannot be reached: nothing listens there",
    "Connection refused": "it cannot be reached: nothing listens there",
    "Name or service not known": "it cannot be reached: its host name is not known",
    "in name resolution": "it cannot be reached: its host name is not known",
}


def refuses_value(exc: BaseException) -> bool:
    """Whether it is the fault of a value, which no later attempt heals: NUL in a text, a number beyond 64 bits."""
    cause = getattr(exc, "orig", None) or exc
    of_value = isinstance(cause, sqlite3.DataError | UnicodeEncodeError | OverflowError) or isinstance(exc, DataError)
    return of_value or str(getattr(cause, "sqlstate", "")).startswith("22")  # PostgreSQL's class of data exceptions


def unstorable() -> Invalid:
    return Invalid(
        "the database cannot store this: a text with NUL or half a surrogate pair in it, or a number beyond 64 bits",
        code="unstorable_value",
    )


def unavailable(exc: BaseException) -> Unavailable:
    """`exc` of a driver as one sentence, without path, statement or parameters."""
    cause = getattr(exc, "orig", None) or exc
    text = str(cause)
    reason = next((why for mark, why in _REASONS.items() if mark in text), None)
    if reason is None:
        reason = f"it cannot be reached ({type(cause).__name__})"
    return Unavailable(f"the database refuses: {reason}", code="database_unavailable", retry_after_s=5)


def _tune_sqlite(engine: AsyncEngine, begin: str, pragmas: list[str]) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _(dbapi_conn: Any, _record: object) -> None:
        dbapi_conn.isolation_level = None  # we say BEGIN ourselves
        cursor = dbapi_conn.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _(conn: Connection) -> None:
        conn.exec_driver_sql(begin)
