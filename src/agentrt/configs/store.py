from collections.abc import Iterable

from sqlalchemy import select

from agentrt.db import Database

from .kind import Versioned, canonical
from .rows import config_versions


class VersionTable:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, kind: str, entries: Iterable[Versioned], at: int) -> None:
        """Keep these versions; those already there stay as they are."""
        rows = [
            {"kind": kind, "name": e.name, "version": e.version, "body": canonical(e.spec).decode(), "loaded_at": at}
            for e in entries
        ]
        if rows:
            async with self._db.write() as conn:
                await conn.execute(self._db.insert_new(config_versions), rows)

    async def body(self, kind: str, name: str, version: str) -> str | None:
        """The JSON text of one version; None where it was never kept."""
        t = config_versions.c
        query = select(t.body).where(t.kind == kind, t.name == name, t.version == version)
        async with self._db.read() as conn:
            return await conn.scalar(query)
