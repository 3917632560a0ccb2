import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentrt.agents import AgentSpec, check
from agentrt.bus import Bus, ConfigChanged
from agentrt.configs import ConfigStore, Kind
from agentrt.db import Database, metadata
from agentrt.kernel import SystemClock


def agents_in(*paths: Path, **more: Any) -> Kind[AgentSpec]:
    return Kind(
        name="agents",
        type=AgentSpec,
        paths=paths,
        names=lambda spec: (spec.name, *spec.aliases),
        check=check,
        **more,
    )


class World:
    """A folder of agents, a database and a bus, over which stores are opened one after the other."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.bus = folder, Bus()
        self._url = database_url

    def write(self, name: str, text: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / name
        file.write_text(text)
        return file

    @asynccontextmanager
    async def store(self, *kinds: Kind[Any], watch: bool = False) -> AsyncIterator[ConfigStore]:
        db = Database(self._url)
        try:
            async with db.write() as conn:
                await conn.run_sync(metadata.create_all)
            async with ConfigStore(db, self.bus, SystemClock(), kinds or [agents_in(self.folder)], watch=watch) as store:
                yield store
        finally:
            await db.close()

    async def sql(self, statement: str) -> None:
        db = Database(self._url)
        try:
            async with db.write() as conn:
                await conn.exec_driver_sql(statement)
        finally:
            await db.close()

    @asynccontextmanager
    async def until(self, holds: Callable[[], bool]) -> AsyncIterator[None]:
        """After the block: wait for a signal of a change, until what is awaited holds."""
        with self.bus.subscribe(ConfigChanged) as signals:
            yield
            async with asyncio.timeout(30):
                async for _ in signals:
                    if holds():
                        return


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "agents", f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}")


@pytest.fixture
def world_on_each(tmp_path: Path, database_url: str) -> World:
    """The same on SQLite and on PostgreSQL."""
    return World(tmp_path / "agents", database_url)


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, None]], None]:
    return asyncio.run


@pytest.fixture
def agents() -> Callable[..., Kind[AgentSpec]]:
    return agents_in
