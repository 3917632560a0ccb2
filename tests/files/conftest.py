from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from agentrt.db import Database, metadata
from agentrt.files import Blobs
from agentrt.kernel import SystemClock

OpenBlobs = Callable[..., AbstractAsyncContextManager[Blobs]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def open_blobs(tmp_path: Path, database_url: str) -> OpenBlobs:
    """The same files again on every opening, on SQLite and on PostgreSQL."""

    @asynccontextmanager
    async def open_(*, max_upload_bytes: int = 1 << 30) -> AsyncIterator[Blobs]:
        db = Database(database_url)
        async with db.write() as conn:
            await conn.run_sync(metadata.create_all)
        try:
            yield Blobs(tmp_path / "files", db, SystemClock(), max_upload_bytes=max_upload_bytes)
        finally:
            await db.close()

    return open_
