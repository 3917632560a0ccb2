"""Who goes on now, and who waits: places, turns within a session, keys that stand for one run."""

import asyncio

import pytest

from agentrt import events as e
from agentrt.kernel import SYSTEM, Conflict, Exhausted, Invalid, NotFound, Principal
from agentrt.runs import RunFilter
from fixtures.house import Held, Houses, answers

pytestmark = pytest.mark.anyio


async def test_a_second_turn_waits_for_the_first_and_knows_what_was_said_in_it(houses_on_each: Houses) -> None:
    houses, held = houses_on_each, Held("First answer.")
    houses.model.will(held, answers("Second answer."))
    async with houses.open() as house:
        first = await house.start("one", session_id="s")
        await held.showing.wait()
        second = await house.start("two", session_id="s")
        assert (await house.runs.get(SYSTEM, second.id)).status == "queued"
        queued = (await house.events(second))[0]
        assert isinstance(queued, e.RunQueued) and queued.reason == "session_busy"
        held.go.set()
        await house.ended(first)
        await house.ended(second)
        assert await house.story(second) == [
            "run_queued",
            "run_started",
            "model_started",
            "model_completed",
            "final_text",
            "run_completed",
        ]
        assert [m.text for m in houses.model.asks[1].messages] == ["one", "First answer.", "two"]
        view = await house.runs.get(SYSTEM, second.id)
        assert view.created_at < (view.started_at or "")


async def test_many_turns_of_one_session_come_in_the_order_they_were_asked(houses: Houses) -> None:
    houses.model.will(*(answers(f"answer {n}") for n in range(6)))
    async with houses.open() as house:
        lives = await asyncio.gather(*(house.start(f"turn {n}", session_id="s") for n in range(6)))
        for live in lives:
            await house.ended(live)
        assert [ask.messages[-1].text for ask in houses.model.asks] == [f"turn {n}" for n in range(6)]
        assert len(houses.model.asks[-1].messages) == 11


async def test_no_more_runs_go_on_than_there_are_places(houses: Houses) -> None:
    held = [Held(str(n)) for n in range(4)]
    houses.model.will(*held)
    async with houses.open(max_active=2) as house:
        lives = [await house.start() for _ in range(4)]
        await asyncio.gather(held[0].showing.wait(), held[1].showing.wait())
        assert (house.scheduler.active, house.scheduler.queued) == (2, 2)
        held[0].go.set()
        await held[2].showing.wait()
        assert (house.scheduler.active, house.scheduler.queued) == (2, 1)
        for one in held:
            one.go.set()
        for live in lives:
            await house.ended(live)
        queued = (await house.events(lives[3]))[0]
        assert isinstance(queued, e.RunQueued) and queued.reason == "max_active_runs"


async def test_another_session_overtakes_one_that_is_busy(houses: Houses) -> None:
    busy = Held("a")
    houses.model.will(busy, answers("quick"))
    async with houses.open() as house:
        first = await house.start(session_id="busy")
        await busy.showing.wait()
        second = await house.start(session_id="busy")
        await house.run(session_id="free")
        assert (await house.runs.get(SYSTEM, second.id)).status == "queued"
        busy.go.set()
        await house.ended(first)
        await house.ended(second)


async def test_too_many_that_wait_are_sent_away(houses: Houses) -> None:
    held = Held("a")
    houses.model.will(held)
    async with houses.open(max_active=1, max_queued=1) as house:
        live = await house.start()
        await house.start()
        with pytest.raises(Exhausted) as refused:
            await house.start()
        assert refused.value.code == "queue_full" and refused.value.retry_after_s
        assert len((await house.runs.list(SYSTEM, RunFilter())).data) == 2
        held.go.set()
        await house.ended(live)


async def test_a_run_that_cannot_begin_in_its_turn_fails_and_the_next_has_its_place(houses: Houses) -> None:
    from agentrt.messages import Message, Text, ToolResult, says

    held = Held("a")
    houses.model.will(held)
    stray = Message("tool", (ToolResult("call_nowhere", (Text("42"),)),))
    async with houses.open(max_active=1) as house:
        first = await house.start()
        await held.showing.wait()
        bad = await house.start(messages=(says("user", "x"), stray))
        good = await house.start("good")
        held.go.set()
        for live in (first, bad, good):
            await house.ended(live)
        assert (await house.story(bad)) == ["run_queued", "run_failed"]
        assert (await house.runs.get(SYSTEM, good.id)).status == "completed"


async def test_one_key_is_one_run_however_often_it_is_sent(houses_on_each: Houses) -> None:
    async with houses_on_each.open() as house:
        key = {"idempotency_key": "runs:k", "body_hash": "a" * 64}
        lives = await asyncio.gather(*(house.start(**key) for _ in range(5)))
        assert len({live.id for live in lives}) == 1
        assert sorted(live.replayed for live in lives) == [False, True, True, True, True]
        await house.ended(lives[0])
        late = await house.start(**key)
        assert late.replayed and late.id == lives[0].id
        with pytest.raises(Conflict) as refused:
            await house.start(idempotency_key="runs:k", body_hash="b" * 64)
        assert refused.value.code == "idempotency_mismatch"
        other = await house.start(who=Principal("other"), **key)
        assert not other.replayed
        await house.ended(other)
        assert len(houses_on_each.model.asks) == 2


async def test_a_key_is_known_after_a_restart_and_forgotten_after_a_day(houses: Houses) -> None:
    key = {"idempotency_key": "runs:k", "body_hash": "a" * 64}
    async with houses.open() as house:
        first = await house.run(**key)
    async with houses.open() as house:
        await house.runs.sweep()
        assert (await house.start(**key)).id == first.id
        async with house.db.write() as conn:
            await conn.exec_driver_sql("UPDATE idempotency_keys SET at = at - 86401000000")
        await house.runs.sweep()
        assert (await house.run(**key)).id != first.id


async def test_a_key_that_is_too_long_is_refused_on_every_database(houses: Houses) -> None:
    async with houses.open() as house:
        with pytest.raises(Invalid) as refused:
            await house.start(idempotency_key="k" * 256, body_hash="a" * 64)
        assert refused.value.code == "idempotency_key_too_long"


async def test_requests_that_name_nothing_that_is_there_start_nothing(houses: Houses) -> None:
    async with houses.open() as house:
        for wanted, code in [
            ({"agent": "nobody"}, "agent_not_found"),
            ({"model": "nothing-known"}, "model_not_found"),
            ({"messages": ()}, "empty_messages"),
            ({"session_id": "sess_" + "0" * 32}, "session_not_found"),
            ({"session_id": "not a name!"}, "invalid_request"),
        ]:
            with pytest.raises((Invalid, NotFound)) as refused:
                await house.start(**wanted)
            assert refused.value.code == code
        assert (await house.runs.list(SYSTEM, RunFilter())).data == []
        assert house.scheduler.active == 0


async def test_runs_are_listed_by_page_and_by_what_they_are(houses_on_each: Houses) -> None:
    async with houses_on_each.open() as house:
        ids = [(await house.run(f"run {n}", session_id="a" if n < 2 else "b")).id for n in range(5)]
        page = await house.runs.list(SYSTEM, RunFilter(limit=2))
        assert ([v.id for v in page.data], page.has_more) == ([ids[4], ids[3]], True)
        page = await house.runs.list(SYSTEM, RunFilter(limit=3, after=page.last_id))
        assert ([v.id for v in page.data], page.has_more) == ([ids[2], ids[1], ids[0]], False)
        page = await house.runs.list(SYSTEM, RunFilter(limit=2, before=ids[0]))  # the page before, not the first one
        assert ([v.id for v in page.data], page.has_more) == ([ids[2], ids[1]], True)
        page = await house.runs.list(SYSTEM, RunFilter(limit=2, before=page.first_id))
        assert ([v.id for v in page.data], page.has_more) == ([ids[4], ids[3]], False)
        page = await house.runs.list(SYSTEM, RunFilter(limit=2, order="asc", before=ids[4]))
        assert ([v.id for v in page.data], page.has_more) == ([ids[2], ids[3]], True)
        page = await house.runs.list(SYSTEM, RunFilter(limit=2, after=ids[4], before=ids[0]))
        assert ([v.id for v in page.data], page.has_more) == ([ids[3], ids[2]], True)
        page = await house.runs.list(SYSTEM, RunFilter(order="asc", session_id="a", status="completed", agent="default"))
        assert [v.input for v in page.data] == ["run 0", "run 1"]
        assert (await house.runs.list(Principal("other"), RunFilter())).data == []
        with pytest.raises(Invalid):
            await house.runs.list(SYSTEM, RunFilter(after="nonsense"))
