from pathlib import Path

import pytest

from fixtures.house import Houses


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def houses(tmp_path: Path) -> Houses:
    return Houses(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}")


@pytest.fixture
def houses_on_each(tmp_path: Path, database_url: str) -> Houses:
    """The same on SQLite and on PostgreSQL."""
    return Houses(tmp_path, database_url)
