"""A server dies, or is told to stop, while runs are under way; the next one goes on from the log alone."""

import asyncio

import pytest
from sqlalchemy import text

from agentrt import events as e
from agentrt.agents import Effect
from agentrt.kernel import SYSTEM, Unavailable
from agentrt.messages import ToolCall, ToolResult
from agentrt.tools import CallContext
from fixtures.house import Held, HeldTool, Houses, answers, calls

pytestmark = pytest.mark.anyio


async def test_a_model_call_cut_off_is_asked_again_and_what_was_shown_of_it_is_void(houses_on_each: Houses) -> None:
    houses, held = houses_on_each, Held("I was abou")
    houses.model.will(held, answers("Whole."))
    async with houses.open() as house:
        live = await house.start("hi")
        await held.showing.wait()
    assert held.closed.is_set()
    async with houses.open() as house:
        shown = await house.ended(live := await house.again(live.id))
        assert await house.story(live) == [
            "run_started",
            "model_started",
            "model_failed",
            "text_discarded",
            "model_started",
            "model_completed",
            "final_text",
            "run_completed",
        ]
        failed = (await house.events(live))[2]
        assert isinstance(failed, e.ModelFailed) and failed.interrupted and failed.code == "interrupted"
        assert "".join(item.event.text for item in shown if isinstance(item.event, e.TextDelta)) == "Whole."


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_a_tool_that_may_be_called_twice_is_called_again_with_the_same_key(houses: Houses, effect: Effect) -> None:
    held = HeldTool()
    houses.tools.add("tool", held, effect)
    houses.model.will(calls(("tool", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.start()
        await held.entered.wait()
    assert held.stopped.is_set()
    held.go.set()
    async with houses.open() as house:
        live = await house.again(live.id)
        await house.ended(live)
        assert (await house.story(live))[3:6] == ["tool_started", "tool_started", "tool_completed"]
        begun = [event for event in await house.events(live) if isinstance(event, e.ToolStarted)]
        assert [event.attempt for event in begun] == [1, 2] and begun[0].boot != begun[1].boot
        first, second = houses.tools.made
        assert first == second
        (step,) = [s for s in await house.runs.steps(SYSTEM, live.id) if s.type == "tool"]
        assert (step.status, step.attempts) == ("completed", 2)


async def test_an_unsafe_tool_is_never_called_again_and_the_model_is_told_that_its_outcome_is_unknown(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("pay", held, "unsafe")
    houses.model.will(calls(("pay", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.start()
        await held.entered.wait()
    async with houses.open() as house:
        live = await house.again(live.id)
        await house.ended(live)
        assert (await house.story(live))[3:] == [
            "tool_started",
            "tool_failed",
            "model_started",
            "model_completed",
            "final_text",
            "run_completed",
        ]
        failed = next(event for event in await house.events(live) if isinstance(event, e.ToolFailed))
        assert failed.reason == "outcome_unknown"
        assert len(houses.tools.made) == 1
        told = houses.model.asks[1].messages[-1].parts[0]
        assert isinstance(told, ToolResult) and told.is_error and "was not made again" in told.text


async def test_of_parallel_calls_only_those_without_an_outcome_are_made_again(houses: Houses) -> None:
    held = HeldTool()

    async def quick(call: ToolCall, ctx: CallContext) -> str:
        return "quick"

    houses.tools.add("quick", quick, "unsafe")
    houses.tools.add("slow", held, "read")
    houses.model.will(calls(("slow", "{}"), ("quick", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.start()
        await house.until(live.id, e.ToolCompleted)
        await held.entered.wait()
    held.go.set()
    async with houses.open() as house:
        await house.ended(await house.again(live.id))
        assert [name for name, _ in houses.tools.made] == ["slow", "quick", "slow"]
        told = [part.text for m in houses.model.asks[1].messages for part in m.parts if isinstance(part, ToolResult)]
        assert told == ["held", "quick"]


async def test_a_tool_that_is_gone_after_the_restart_fails_its_call_and_not_the_run(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("tool", held, "read")
    houses.model.will(calls(("tool", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.start()
        await held.entered.wait()
    houses.tools.remove("tool")
    async with houses.open() as house:
        live = await house.again(live.id)
        await house.ended(live)
        failed = next(event for event in await house.events(live) if isinstance(event, e.ToolFailed))
        assert failed.reason == "unavailable"
        assert (await house.story(live))[-1] == "run_completed"


async def test_an_outcome_that_comes_while_the_server_stops_is_written_and_nothing_new_is_begun(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("pay", held, "unsafe")
    houses.model.will(calls(("pay", "{}")), answers("ok"))
    async with houses.open(grace_s=5.0) as house:
        live = await house.start()
        await held.entered.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(house.scheduler.drain())
            group.create_task(set_soon(held.go))
        assert await house.story(live) == ["run_started", "model_started", "model_completed", "tool_started", "tool_completed"]
    async with houses.open() as house:
        live = await house.again(live.id)
        await house.ended(live)
        assert (await house.story(live))[5:] == ["model_started", "model_completed", "final_text", "run_completed"]
        assert len(houses.tools.made) == 1


async def test_what_is_cut_off_after_the_grace_appends_nothing(houses: Houses) -> None:
    held = Held("some text")
    houses.model.will(held)
    async with houses.open(grace_s=0.01) as house:
        live = await house.start()
        await held.showing.wait()
        await house.scheduler.drain()
        await held.closed.wait()
        assert await house.story(live) == ["run_started", "model_started"]


async def test_a_server_that_stops_takes_no_new_run(houses: Houses) -> None:
    async with houses.open() as house:
        await house.scheduler.drain()
        with pytest.raises(Unavailable) as refused:
            await house.start()
        assert refused.value.code == "server_shutting_down" and refused.value.retry_after_s


async def test_runs_that_waited_when_the_server_died_have_their_turn_later(houses: Houses) -> None:
    held = Held("a")
    houses.model.will(held, answers("again"), answers("second"))
    async with houses.open() as house:
        first = await house.start("one", session_id="s")
        await held.showing.wait()
        second = await house.start("two", session_id="s")
        assert await house.story(second) == ["run_queued"]
    async with houses.open() as house:
        await house.ended(await house.again(first.id))
        await house.ended(await house.again(second.id))
        assert (await house.story(second))[:3] == ["run_queued", "run_started", "model_started"]
        assert [m.text for m in houses.model.asks[-1].messages] == ["one", "again", "two"]


async def test_a_run_keeps_to_the_agent_it_began_with(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("tool", held, "read")
    houses.agent("default", "tools: ['*']\nprompt: Old.")
    houses.model.will(calls(("tool", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.start()
        await held.entered.wait()
    held.go.set()
    houses.agent("default", "tools: []\nprompt: New.\nbudgets: {steps: 1}")
    async with houses.open() as house:
        live = await house.again(live.id)
        await house.ended(live)
        assert houses.model.asks[-1].system == ("Old.",)
        assert (await house.story(live))[-1] == "run_completed"


async def test_a_run_whose_agent_cannot_be_had_any_more_ends_and_the_server_starts(houses: Houses) -> None:
    held = Held("a")
    houses.model.will(held)
    async with houses.open() as house:
        live = await house.start()
        await held.showing.wait()
        async with house.db.write() as conn:
            await conn.exec_driver_sql("DELETE FROM config_versions")
    houses.agent("default", "prompt: New.")
    async with houses.open() as house:
        view = await house.runs.get(SYSTEM, live.id)
        assert view.status == "failed" and view.error and view.error.code == "not_recovered"


async def test_a_log_that_cannot_be_read_keeps_no_other_run_from_going_on(houses: Houses) -> None:
    bad, good = Held("a"), Held("b")
    houses.model.will(bad, good, answers("Whole."))
    async with houses.open() as house:
        lost = await house.start()
        kept = await house.start()
        await bad.showing.wait()
        await good.showing.wait()
        async with house.db.write() as conn:
            await conn.execute(text("UPDATE run_events SET body = :body WHERE run_id = :id"), {"body": b"{", "id": lost.id})
    async with houses.open() as house:
        await house.ended(await house.again(kept.id))
        assert (await house.runs.get(SYSTEM, kept.id)).status == "completed"


async def test_a_run_that_was_cancelled_when_the_server_died_ends_with_every_call_closed(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("look", held, "read")
    houses.model.will(calls(("look", "{}")))
    async with houses.open() as house:
        live = await house.start()
        await held.entered.wait()
        await house.journal.append(live.id, [e.CancelRequested()])
    async with houses.open() as house:
        await house.ended(await house.again(live.id))
        assert (await house.story(live))[3:] == ["tool_started", "cancel_requested", "tool_failed", "run_cancelled"]
        assert len(houses.tools.made) == 1


async def set_soon(event: asyncio.Event) -> None:
    event.set()
