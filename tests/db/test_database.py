"""Reading and writing off the hot path, and what a database that refuses says of itself."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from agentrt.db import Database, Migrations, unavailable
from agentrt.kernel import Invalid, Unavailable, share

pytestmark = pytest.mark.anyio


async def test_a_block_that_raises_leaves_nothing_behind(database_url: str) -> None:
    db = Database(database_url)
    async with db.write() as conn:
        await conn.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    with pytest.raises(LookupError):
        async with db.write() as conn:
            await conn.exec_driver_sql("INSERT INTO t VALUES (1)")
            raise LookupError
    async with db.write() as conn:
        await conn.exec_driver_sql("INSERT INTO t VALUES (2)")
    async with db.read() as conn:
        assert list(await conn.scalars(text("SELECT n FROM t"))) == [2]
    await db.close()


async def test_many_write_at_once_and_take_turns(database_url: str) -> None:
    db = Database(database_url)
    async with db.write() as conn:
        await conn.exec_driver_sql("CREATE TABLE t (n INTEGER)")

    async def write(n: int) -> None:
        async with db.write() as conn:
            await conn.exec_driver_sql(f"INSERT INTO t VALUES ({n})")

    await asyncio.gather(*(write(n) for n in range(30)))
    async with db.read() as conn:
        assert await conn.scalar(text("SELECT sum(n) FROM t")) == sum(range(30))
    await db.close()


async def test_readers_of_sqlite_cannot_write(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}")
    with pytest.raises(Unavailable, match="it is read-only"):
        async with db.read() as conn:
            await conn.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    await db.close()


async def test_power_loss_is_survived_where_it_is_asked_for(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}", synchronous="full")
    async with db.write() as conn:
        assert await conn.scalar(text("PRAGMA synchronous")) == 2
        assert await conn.scalar(text("PRAGMA journal_mode")) == "wal"
    await db.close()


async def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "agentrt.db").write_text("not a database, but long enough to be looked at as if it were one" * 20)
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}")
    with pytest.raises(Unavailable) as refused:
        async with db.read() as conn:
            await conn.execute(text("SELECT * FROM sqlite_master"))
    assert refused.value.message == "the database refuses: its file is not a database"
    await db.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("database or disk is full", "the disk is full"),
        ("attempt to write a readonly database", "it is read-only"),
        ("database is locked", "another process holds it locked"),
        ("unable to open database file", "its file cannot be opened"),
        ("database disk image is malformed", "its file is damaged"),
        ("something new at /secret/path", "it cannot be reached (OperationalError)"),
    ],
)
def test_a_reason_is_named_without_path_or_statement(said: str, reason: str) -> None:
    error = unavailable(sqlite3.OperationalError(said))
    assert error.message == f"the database refuses: {reason}"
    assert error.code == "database_unavailable" and error.retry_after_s


async def test_postgresql_says_why_it_refuses(postgres_url: str) -> None:
    here = postgres_url.replace("postgresql://", "postgresql+asyncpg://")
    db = Database(here)
    with pytest.raises(Unavailable, match="it is read-only"):
        async with db.write() as conn:
            await conn.exec_driver_sql("SET TRANSACTION READ ONLY")
            await conn.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    await db.close()
    db = Database(here + "_missing")
    with pytest.raises(Unavailable, match="it has no such database"):
        async with db.read():
            pass
    await db.close()


async def test_an_empty_database_is_brought_to_the_newest_schema_once(database_url: str) -> None:
    db, migrations = Database(database_url), Migrations(share())
    assert await migrations.upgrade(db) == "empty"
    assert await migrations.upgrade(db) == "current"
    assert await migrations.state(db) == "current"
    await db.close()


async def test_a_database_with_somebody_else_s_tables_is_left_alone(database_url: str) -> None:
    db, migrations = Database(database_url), Migrations(share())
    async with db.write() as conn:
        await conn.exec_driver_sql("CREATE TABLE customers (n INTEGER)")
    with pytest.raises(Invalid, match=r"tables of something else \(customers\)") as refused:
        await migrations.upgrade(db)
    assert refused.value.code == "foreign_database"
    async with db.write() as conn:
        await conn.exec_driver_sql("DROP TABLE customers")
    assert await migrations.upgrade(db) == "empty"
    await db.close()


async def test_a_schema_of_a_newer_release_is_refused(database_url: str) -> None:
    db, migrations = Database(database_url), Migrations(share())
    await migrations.upgrade(db)
    async with db.write() as conn:
        await conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Invalid, match="has the schema 9999, which this release does not know") as refused:
        await migrations.upgrade(db)
    assert refused.value.code == "foreign_database"
    await db.close()


async def test_a_server_that_went_away_between_two_reads_is_reached_again(postgres_url: str) -> None:
    db = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    async with db.read() as conn:
        await conn.execute(text("SELECT 1"))
    admin = await asyncpg.connect(postgres_url.rpartition("/")[0] + "/postgres")
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", postgres_url.rpartition("/")[2]
    )
    await admin.close()
    async with db.read() as conn:
        assert await conn.scalar(text("SELECT 1")) == 1
    await db.close()
