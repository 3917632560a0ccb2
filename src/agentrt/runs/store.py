from typing import Any

import msgspec
from sqlalchemy import delete, select

from agentrt.db import Database
from agentrt.kernel import NotFound, body_of, is_id, rfc3339
from agentrt.messages import Usage

from .projection import COST_UNITS
from .rows import idempotency_keys, runs
from .views import RunError, RunFilter, RunOutput, RunUsage, RunView


class Claim(msgspec.Struct, frozen=True):
    """What an idempotency key was used for."""

    run_id: str
    body_hash: str
    at: int


class RunTable:
    """The searchable shadow of the log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, tenant: str, run_id: str) -> RunView:
        """NotFound for another tenant's."""
        query = select(runs).where(runs.c.id == run_id, runs.c.tenant == tenant)
        async with self._db.read() as conn:
            row = (await conn.execute(query)).one_or_none() if is_id("run", run_id) else None
        if row is None:
            raise NotFound(f"there is no run {run_id[:60]!r}", code="run_not_found")
        return _to_view(row)

    async def unfinished(self) -> list[str]:
        """Runs of every tenant that have not ended, oldest first."""
        query = select(runs.c.id).where(runs.c.ended_at.is_(None)).order_by(runs.c.id)
        async with self._db.read() as conn:
            return list(await conn.scalars(query))

    async def of_session(self, tenant: str, session_id: str) -> list[str]:
        query = select(runs.c.id).where(runs.c.tenant == tenant, _in_session(session_id))
        async with self._db.read() as conn:
            return list(await conn.scalars(query))

    async def children(self, tenant: str, run_id: str) -> list[str]:
        """The runs that this one's code began."""
        c = runs.c  # an id sorts by its birth: no child's comes before its parent's
        query = select(c.id).where(c.tenant == tenant, c.id > run_id, c.parent_run_id == run_id)
        async with self._db.read() as conn:
            return list(await conn.scalars(query))

    async def claim(self, tenant: str, key: str, since: int) -> Claim | None:
        """What the key was used for, if that was after `since`."""
        c = idempotency_keys.c
        query = select(c.run_id, c.body_hash, c.at).where(c.tenant == tenant, c.key == key, c.at >= since)
        async with self._db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        return None if row is None else Claim(row.run_id, row.body_hash, row.at)

    async def forget(self, run_ids: list[str]) -> None:
        async with self._db.write() as conn:
            await conn.execute(delete(idempotency_keys).where(idempotency_keys.c.run_id.in_(run_ids)))
            await conn.execute(delete(runs).where(runs.c.id.in_(run_ids)))

    async def forget_claims(self, before: int) -> None:
        async with self._db.write() as conn:
            await conn.execute(delete(idempotency_keys).where(idempotency_keys.c.at < before))

    async def list(self, tenant: str, wanted: RunFilter, limit: int) -> list[RunView]:
        """Where the page is sought backwards, the run that is nearest to its end comes first."""
        c = runs.c
        query = select(runs).where(c.tenant == tenant)
        if wanted.status:
            query = query.where(c.status == wanted.status)
        if wanted.agent:
            query = query.where(c.agent == wanted.agent)
        if wanted.session_id:
            query = query.where(_in_session(wanted.session_id))
        newest_first = wanted.order == "desc"
        if wanted.after:
            query = query.where(c.id < wanted.after if newest_first else c.id > wanted.after)
        if wanted.before:
            query = query.where(c.id > wanted.before if newest_first else c.id < wanted.before)
        descending = newest_first is not wanted.backwards
        query = query.order_by(c.id.desc() if descending else c.id.asc()).limit(limit)
        async with self._db.read() as conn:
            return [_to_view(row) for row in await conn.execute(query)]


def _in_session(session_id: str) -> Any:
    """A run that named no session belongs to one of its own, whose id has the run's body."""
    return (runs.c.session_id == session_id) | (runs.c.session_id.is_(None) & (runs.c.id == f"run_{body_of(session_id)}"))


def session_of(run_id: str, session_id: str | None) -> str:
    """The session that a run belongs to."""
    return session_id or f"sess_{body_of(run_id)}"


def _to_view(row: Any) -> RunView:
    return RunView(
        id=row.id,
        status=row.status,
        mode=row.mode,
        agent=row.agent,
        agent_version=row.agent_version,
        model=row.model,
        provider=row.provider,
        session_id=session_of(row.id, row.session_id),
        parent_run_id=row.parent_run_id,
        input=row.input,
        output=None if row.output is None else RunOutput(row.output),
        usage=RunUsage(
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            total_tokens=row.input_tokens + row.output_tokens,
            cached_tokens=row.cached_tokens,
            reasoning_tokens=row.reasoning_tokens,
            cache_write_tokens=row.cache_write_tokens,
            audio_input_tokens=row.audio_input_tokens,
            audio_output_tokens=row.audio_output_tokens,
            image_input_tokens=row.image_input_tokens,
            image_output_tokens=row.image_output_tokens,
            cache_hit_ratio=Usage(input=row.input_tokens, cached=row.cached_tokens).cache_hit_ratio,
            estimated=row.estimated > 0,
        ),
        cost_usd=None if row.unpriced else row.cost / COST_UNITS,
        error=None if row.error_code is None else RunError(row.error_code, row.error_message or ""),
        finish_reason=row.finish_reason,
        metadata=msgspec.json.decode(row.metadata),
        created_at=rfc3339(row.created_at),
        started_at=None if row.started_at is None else rfc3339(row.started_at),
        ended_at=None if row.ended_at is None else rfc3339(row.ended_at),
    )
