"""The rows of runs and sessions are a shadow of the log: replaying it rebuilds them exactly."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from agentrt import events as e
from agentrt.kernel import SYSTEM, Principal
from agentrt.messages import Usage, says
from agentrt.providers import Price
from agentrt.runs import project
from agentrt.sessions import SessionTable
from fixtures.house import Held, House, Houses, answers, breaks, calls

pytestmark = pytest.mark.anyio

TABLES = ("runs", "sessions", "idempotency_keys")


async def rows(house: House) -> dict[str, list[dict[str, Any]]]:
    async with house.db.read() as conn:
        found = {table: (await conn.execute(text(f"SELECT * FROM {table}"))).mappings().all() for table in TABLES}
    return {table: sorted((dict(row) for row in all_), key=str) for table, all_ in found.items()}


async def replay(house: House) -> None:
    """Forget every row, and project the whole log again, record by record."""
    async with house.db.read() as conn:
        run_ids = list(await conn.scalars(text("SELECT DISTINCT run_id FROM run_events")))
    records = [record for run_id in run_ids for record in await house.journal.read(run_id)]
    async with house.db.write() as conn:
        for table in TABLES:
            await conn.exec_driver_sql(f"DELETE FROM {table}")
        for record in sorted(records, key=lambda r: (r.at, r.run_id, r.seq)):
            for projector in (project, SessionTable(house.db).project):
                for statement in projector([record]):
                    await conn.execute(text(statement.sql), statement.params)


async def test_replaying_the_log_rebuilds_every_row(houses_on_each: Houses) -> None:
    houses, held = houses_on_each, Held("half")
    houses.prices["acme/*"] = Price(input=0.7, output=1.3, cached=0.1)
    houses.model.will(
        answers("one", usage=Usage(10, 5, 3, 2, cache_write=1, audio_input=1, audio_output=1, estimated=True), by="acme/a"),
        calls(("calculator", '{"expression": "1+1"}'), by="acme/b"),
        answers("two", by="nobody/knows"),
        breaks("overloaded", after="I was"),
        held,
    )
    async with houses.open() as house:
        await house.run("hello", session_id="s", metadata={"ticket": "äöü \u2028", "n": [1, None]})
        await house.run("compute", session_id="s")
        await house.run("break", idempotency_key="runs:k", body_hash="a" * 64)
        stopped = await house.start("stop", session_id="ann", session_source="user")
        await held.showing.wait()
        waits = await house.start("wait", session_id="ann", session_source="user")
        cancelled = await house.start("never", session_id="ann", session_source="user")
        await house.runs.cancel(SYSTEM, cancelled.id)
        await house.runs.cancel(SYSTEM, stopped.id)
        await house.ended(waits)
        await house.run("other", who=Principal("other"), session_id="s")
        before = await rows(house)
        assert {row["status"] for row in before["runs"]} == {"completed", "failed", "cancelled"}
        assert (len(before["runs"]), len(before["sessions"]), len(before["idempotency_keys"])) == (7, 3, 1)
        await replay(house)
        assert await rows(house) == before


async def test_what_a_caller_sends_fits_both_databases(houses_on_each: Houses) -> None:
    """PostgreSQL counts characters, and takes no NUL."""
    houses_on_each.model.will(answers("null: \x00"))
    who = Principal(user="u\x00" + "x" * 254)
    async with houses_on_each.open() as house:
        live = await house.run("in: \x00", who=who, session_id="u\x00" + "y" * 5000, session_source="user")
        view = await house.runs.get(who, live.id)
        assert (view.status, view.input) == ("completed", "in: \ufffd")
        assert view.output and view.output.text == "null: \ufffd"
        assert [m.text for m in await house.sessions.messages(who, live.session_id)] == ["in: \x00", "null: \x00"]


async def test_a_row_is_as_new_as_the_log_at_every_moment(houses_on_each: Houses) -> None:
    held = Held("half")
    houses_on_each.model.will(held)
    async with houses_on_each.open(max_active=1) as house:
        first = await house.start()
        await held.showing.wait()
        second = await house.start()
        view, waiting = await asyncio.gather(house.runs.get(SYSTEM, first.id), house.runs.get(SYSTEM, second.id))
        assert (view.status, waiting.status) == ("running", "queued")
        assert view.started_at == view.created_at and view.ended_at is None and waiting.started_at is None
        held.go.set()
        await house.ended(second)
        view = await house.runs.get(SYSTEM, second.id)
        assert view.created_at < (view.started_at or "") < (view.ended_at or "")


def test_only_what_moves_a_row_makes_a_statement() -> None:
    quiet = [e.ModelStarted(step=1, model="m", boot="b"), e.ToolStdout(call_id="1", text="x"), e.CancelRequested()]
    assert list(project([e.Record("run_a", n, 0, event) for n, event in enumerate(quiet, 2)])) == []
    told = [e.ModelCompleted(step=1, message=says("assistant", "x"), usage=Usage(1, 2), stop="stop"), e.RunCompleted()]
    assert len(list(project([e.Record("run_a", n, 0, event) for n, event in enumerate(told, 2)]))) == 1
