from pathlib import Path

import pytest

from fixtures.journals import OpenJournal, opener


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def open_journal(database_url: str) -> OpenJournal:
    """`async with open_journal() as journal`, over one database, on SQLite and on PostgreSQL."""
    return opener(database_url)


@pytest.fixture
def open_on_sqlite(tmp_path: Path) -> OpenJournal:
    return opener(f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}")
