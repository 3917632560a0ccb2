from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from agentrt.db import Database
from agentrt.events import Record, RunCancelled, RunCompleted, RunFailed, RunQueued, RunStarted
from agentrt.journal import Statement
from agentrt.kernel import Conflict, Unavailable

from .rows import sessions
from .views import Session

_UPSERT = """
INSERT INTO sessions (tenant, id, key, head_run, metadata, created_at, updated_at)
VALUES (:tenant, :id, :key, :head_run, '{}', :at, :at)
ON CONFLICT (tenant, id) DO UPDATE SET head_run = excluded.head_run, updated_at = excluded.updated_at
"""
# a run that waits has its session already, so that the next one of the same user finds it; where it waits for a run whose
# own session it continues, that run is the head
_OPEN = """
INSERT INTO sessions (tenant, id, key, head_run, metadata, created_at, updated_at)
VALUES (:tenant, :id, :key, :head_run, '{}', :at, :at)
ON CONFLICT (tenant, id) DO NOTHING
"""


class SessionTable:
    """The sessions, and the projection that keeps their heads in step with the log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def project(self, records: Sequence[Record]) -> Iterable[Statement]:
        for record in records:
            if getattr(record.event, "session_id", None) is None:  # most events, and runs that named no session
                continue
            match record.event:
                case RunQueued(tenant=tenant, session_id=str() as session_id, session_key=key, head_run=head):
                    params: dict[str, Any] = {"tenant": tenant, "id": session_id, "key": key, "at": record.at}
                    yield Statement(_OPEN, {**params, "head_run": head}, may_miss=True)
                case RunStarted(tenant=tenant, session_id=str() as session_id, session_key=key):
                    params = {"tenant": tenant, "id": session_id, "key": key, "at": record.at}
                    yield Statement(_UPSERT, {**params, "head_run": record.run_id})
                case (
                    RunCompleted(session_id=str() as id_)
                    | RunFailed(session_id=str() as id_)
                    | RunCancelled(session_id=str() as id_)
                ):
                    sql = "UPDATE sessions SET updated_at = :at WHERE id = :id AND head_run = :run_id"
                    yield Statement(sql, {"at": record.at, "id": id_, "run_id": record.run_id}, may_miss=True)
                case _:
                    pass

    async def find(self, tenant: str, session_id: str) -> Session | None:
        return await self._one(select(sessions).where(sessions.c.tenant == tenant, sessions.c.id == session_id))

    async def newest_by_key(self, tenant: str, key: str) -> Session | None:
        mine = (sessions.c.tenant == tenant, sessions.c.key == key)
        return await self._one(select(sessions).where(*mine).order_by(sessions.c.updated_at.desc()).limit(1))

    async def add(self, tenant: str, session: Session) -> None:
        """Conflict where the id is taken."""
        row = {"tenant": tenant, "key": "", **msgspec.structs.asdict(session)}
        row["metadata"] = msgspec.json.encode(session.metadata).decode()
        try:
            async with self._db.write() as conn:
                await conn.execute(insert(sessions).values(row))
        except Unavailable as exc:
            if isinstance(exc.__cause__, IntegrityError):
                raise Conflict(f"there is a session {session.id!r} already", code="session_exists") from exc
            raise

    async def forget(self, tenant: str, session_id: str) -> None:
        async with self._db.write() as conn:
            await conn.execute(delete(sessions).where(sessions.c.tenant == tenant, sessions.c.id == session_id))

    async def _one(self, query: Any) -> Session | None:
        async with self._db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        return None if row is None else _to_session(row)

    async def list(
        self, tenant: str, limit: int, order: str, after: Session | None, before: Session | None, *, backwards: bool
    ) -> list[Session]:
        """Sessions by their last use; `after` and `before` are places in that order. `backwards`: from its end."""
        place = sessions.c.updated_at, sessions.c.id
        newest_first = order == "desc"
        query = select(sessions).where(sessions.c.tenant == tenant)
        for cursor, beyond in ((after, newest_first), (before, not newest_first)):
            if cursor is not None:
                here = (cursor.updated_at, cursor.id)
                query = query.where(_before(place, here) if beyond else _after(place, here))
        descending = newest_first is not backwards
        ordered = [c.desc() if descending else c.asc() for c in place]
        async with self._db.read() as conn:
            rows = (await conn.execute(query.order_by(*ordered).limit(limit))).all()
        return [_to_session(row) for row in rows]


def _before(place: tuple[Any, Any], here: tuple[int, str]) -> Any:
    return (place[0] < here[0]) | ((place[0] == here[0]) & (place[1] < here[1]))


def _after(place: tuple[Any, Any], here: tuple[int, str]) -> Any:
    return (place[0] > here[0]) | ((place[0] == here[0]) & (place[1] > here[1]))


def _to_session(row: Any) -> Session:
    return Session(
        id=row.id,
        head_run=row.head_run,
        metadata=msgspec.json.decode(row.metadata),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
