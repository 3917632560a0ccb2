"""One server for one database."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg
import pytest

from agentrt.db import Database, Ownership
from agentrt.kernel import Conflict, Unavailable

pytestmark = pytest.mark.anyio


async def test_a_second_server_is_refused_until_the_first_has_gone(database_url: str) -> None:
    first, second = Database(database_url), Database(database_url)
    async with Ownership(first).hold():
        with pytest.raises(Conflict) as refused:
            async with Ownership(second).hold():
                pass
        assert refused.value.code == "database_in_use"
    async with Ownership(second).hold():
        pass
    await first.close()
    await second.close()


async def test_the_second_is_told_the_process_of_the_first(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}"
    async with Ownership(Database(url)).hold():
        with pytest.raises(Conflict, match=rf"\(process {os.getpid()}\)"):
            async with Ownership(Database(url)).hold():
                pass


HOLDER = """
import asyncio, sys
from agentrt.db import Database, Ownership

async def main():
    async with Ownership(Database(sys.argv[1])).hold():
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def holder(database_url: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLDER, database_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


async def test_a_server_that_was_killed_holds_nothing(holder: "subprocess.Popen[str]", database_url: str) -> None:
    with holder:
        db = Database(database_url)
        with pytest.raises(Conflict):
            async with Ownership(db).hold():
                pass
        os.kill(holder.pid, signal.SIGKILL)
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            while True:  # PostgreSQL needs a moment to see that the connection is dead
                with suppress(Conflict):
                    await stack.enter_async_context(Ownership(db).hold())
                    break
        await db.close()


async def test_what_goes_wrong_while_it_is_held_is_not_taken_for_the_database_s_fault(database_url: str) -> None:
    db = Database(database_url)
    with pytest.raises(OSError, match="a file"):
        async with Ownership(db).hold():
            raise OSError("a file")
    await db.close()


async def test_a_lost_connection_is_replaced_and_the_lock_held_again(postgres_url: str) -> None:
    url, name = postgres_url.replace("postgresql://", "postgresql+asyncpg://"), postgres_url.rpartition("/")[2]
    first, second = Database(url), Database(url)
    async with Ownership(first, look_s=0.02).hold():
        admin = await asyncpg.connect(postgres_url.rpartition("/")[0] + "/postgres")
        holders = (
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = $1)"
        )
        lost = await admin.fetchval(holders, name)
        await admin.execute("SELECT pg_terminate_backend($1)", lost)
        async with asyncio.timeout(30):
            while await admin.fetchval(holders, name) in (lost, None):
                pass
        await admin.close()
        with pytest.raises(Conflict):
            async with Ownership(second).hold():
                pass
    await first.close()
    await second.close()


async def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'missing' / 'agentrt.db'}")
    with pytest.raises(Conflict) as refused:
        async with Ownership(db).hold():
            pass
    assert refused.value.code == "data_dir_not_writable"


async def test_a_server_that_does_not_answer_is_one_sentence() -> None:
    db = Database("postgresql+asyncpg://postgres@127.0.0.1:1/x")
    with pytest.raises(Unavailable) as refused:
        async with Ownership(db).hold():
            pass
    assert refused.value.message == "the database refuses: it cannot be reached: nothing listens there"
    await db.close()
