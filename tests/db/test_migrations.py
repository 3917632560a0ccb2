import asyncio
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from agentrt.db import metadata

ROOT = Path(__file__).parents[2]


def config_for(url: str) -> Config:
    return Config(ROOT / "alembic.ini", cmd_opts=Namespace(x=[f"url={url}"]))


def tables_in(url: str) -> set[str]:
    async def main() -> set[str]:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        await engine.dispose()
        return set(names) - {"alembic_version"}

    return asyncio.run(main())


def test_the_history_leads_to_the_tables_that_the_code_declares(database_url: str) -> None:
    command.upgrade(config_for(database_url), "head")
    command.check(config_for(database_url))
    assert tables_in(database_url) == set(metadata.tables)


def test_every_step_can_be_taken_back(database_url: str) -> None:
    command.upgrade(config_for(database_url), "head")
    command.downgrade(config_for(database_url), "base")
    assert tables_in(database_url) == set()
    command.upgrade(config_for(database_url), "head")
    command.check(config_for(database_url))


def test_two_servers_that_start_at_once_migrate_one_database_once(new_postgres: Callable[[], str]) -> None:
    url = new_postgres().replace("postgresql://", "postgresql+asyncpg://")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_upgrade_in_a_process, [url, url]))
    assert tables_in(url) == set(metadata.tables)


def _upgrade_in_a_process(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-x", f"url={url}", "upgrade", "head"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_server_may_bring_its_own_connection(database_url: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = Config(ROOT / "alembic.ini")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async def main() -> None:
        engine = create_async_engine(database_url)
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
        await engine.dispose()

    asyncio.run(main())
    assert tables_in(database_url) == set(metadata.tables)


def test_the_history_is_one_line() -> None:
    assert len(ScriptDirectory(str(ROOT / "migrations")).get_heads()) == 1
