from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, delete, or_, select

from agentrt.db import Database

from .blob import Blob, Order
from .rows import files

UPLOADED = ""
"""The `run_id` of what no run refers to."""


class FileTable:
    """`user` narrows to what that person uploaded or nobody in particular did; empty is everything of the tenant."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, tenant: str, run_id: str, blob: Blob, user: str = "") -> None:
        row = {"tenant": tenant, "run_id": run_id, "user": user, **msgspec.structs.asdict(blob)}
        async with self._db.write() as conn:
            await conn.execute(self._db.insert_new(files).values(row))

    async def find(self, tenant: str, user: str, file_id: str, now: int) -> Blob | None:
        """As it was first kept."""
        mine = (*_of(tenant, user), files.c.id == file_id, *_lasting(now))
        query = select(files).where(*mine).order_by(files.c.created_at, files.c.run_id).limit(1)
        async with self._db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        return None if row is None else _blob(row)

    async def uploads(
        self, tenant: str, user: str, now: int, *, purpose: str, after: str, limit: int, order: Order
    ) -> list[Blob]:
        """What was uploaded, in the order of its ids, which sort by birth."""
        wanted = [*_of(tenant, user), files.c.run_id == UPLOADED, *_lasting(now)]
        if purpose:
            wanted.append(files.c.purpose == purpose)
        if after:
            wanted.append(files.c.id > after if order == "asc" else files.c.id < after)
        by = files.c.id if order == "asc" else files.c.id.desc()
        async with self._db.read() as conn:
            return [_blob(row) for row in await conn.execute(select(files).where(*wanted).order_by(by).limit(limit))]

    async def remove(self, tenant: str, user: str, file_id: str) -> list[str]:
        """Drop an upload; the hashes that nothing refers to any more."""
        return await self._drop(*_of(tenant, user), files.c.id == file_id, files.c.run_id == UPLOADED)

    async def forget(self, run_ids: Sequence[str]) -> list[str]:
        """Drop the references of these runs; the hashes that nothing refers to any more."""
        return await self._drop(files.c.run_id.in_(run_ids))

    async def expire(self, now: int) -> list[str]:
        """Drop uploads whose time is over; the hashes that nothing refers to any more."""
        return await self._drop(files.c.expires_at <= now)

    async def runs_since(self, since: int, until: int, after: str, limit: int) -> list[str]:
        """Runs that files were kept for in that time, by id past `after`."""
        kept = (files.c.created_at >= since, files.c.created_at < until, files.c.run_id > after)
        query = select(files.c.run_id).where(*kept).distinct().order_by(files.c.run_id).limit(limit)
        async with self._db.read() as conn:
            return list(await conn.scalars(query))

    async def referred_to(self, first: str, last: str) -> set[str]:
        """The hashes from `first` to `last` that something refers to."""
        async with self._db.read() as conn:
            return set(await conn.scalars(select(files.c.sha256).where(files.c.sha256.between(first, last)).distinct()))

    async def _drop(self, *which: Any) -> list[str]:
        async with self._db.write() as conn:
            hashes = set(await conn.scalars(select(files.c.sha256).where(*which)))
            await conn.execute(delete(files).where(*which))
            still = set(await conn.scalars(select(files.c.sha256).where(files.c.sha256.in_(hashes))))
        return sorted(hashes - still)


def _of(tenant: str, user: str) -> list[Any]:
    whose = [or_(files.c.user == "", files.c.user == user)] if user else []
    return [files.c.tenant == tenant, *whose]


def _lasting(now: int) -> list[Any]:
    return [or_(files.c.expires_at.is_(None), files.c.expires_at > now)]


def _blob(row: Row[Any]) -> Blob:
    return Blob(
        row.id, row.media_type, row.name, row.size, row.sha256, row.created_at, purpose=row.purpose, expires_at=row.expires_at
    )
