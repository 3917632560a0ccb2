import msgspec
from sqlalchemy import delete, select

from agentrt.db import Database

from .blob import Blob
from .rows import files


class FileTable:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, tenant: str, run_id: str, blob: Blob) -> None:
        row = {"tenant": tenant, "run_id": run_id, **msgspec.structs.asdict(blob)}
        async with self._db.write() as conn:
            await conn.execute(self._db.insert_new(files).values(row))

    async def find(self, tenant: str, file_id: str) -> Blob | None:
        """As it was first kept."""
        mine = (files.c.tenant == tenant, files.c.id == file_id)
        query = select(files).where(*mine).order_by(files.c.created_at, files.c.run_id).limit(1)
        async with self._db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        return None if row is None else Blob(row.id, row.media_type, row.name, row.size, row.sha256, row.created_at)

    async def forget(self, run_ids: list[str]) -> list[str]:
        """Drop the references of these runs; the hashes that nothing refers to any more."""
        mine = files.c.run_id.in_(run_ids)
        async with self._db.write() as conn:
            hashes = set(await conn.scalars(select(files.c.sha256).where(mine)))
            await conn.execute(delete(files).where(mine))
            still = set(await conn.scalars(select(files.c.sha256).where(files.c.sha256.in_(hashes))))
        return sorted(hashes - still)
