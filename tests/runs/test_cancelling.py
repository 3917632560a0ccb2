"""A run is stopped: in a model call, in a tool, while it waits, and when it is too late."""

import asyncio

import pytest

from agentrt import events as e
from agentrt.kernel import SYSTEM, Conflict, NotFound, Principal
from agentrt.messages import ToolCall, ToolResult
from agentrt.tools import CallContext
from fixtures.house import Held, HeldTool, Houses, answers, calls

pytestmark = pytest.mark.anyio


async def test_cancelling_reaches_the_model_s_stream(houses: Houses) -> None:
    held = Held("I was abou")
    houses.model.will(held)
    async with houses.open() as house:
        live = await house.start()
        await held.showing.wait()
        view = await house.runs.cancel(SYSTEM, live.id)
        assert held.closed.is_set() and view.status == "cancelled" and view.ended_at
        assert await house.story(live) == [
            "run_started",
            "model_started",
            "cancel_requested",
            "model_failed",
            "run_cancelled",
        ]
        failed = (await house.events(live))[3]
        assert isinstance(failed, e.ModelFailed) and (failed.code, failed.text) == ("cancelled", "I was abou")


async def test_cancelling_reaches_every_tool_that_runs(houses: Houses) -> None:
    one, two = HeldTool(), HeldTool()
    houses.tools.add("one", one)
    houses.tools.add("two", two)
    houses.model.will(calls(("one", "{}"), ("two", "{}")))
    async with houses.open() as house:
        live = await house.start()
        await asyncio.gather(one.entered.wait(), two.entered.wait())
        await house.runs.cancel(SYSTEM, live.id, "disconnect")
        assert one.stopped.is_set() and two.stopped.is_set()
        assert (await house.story(live))[-4:] == ["cancel_requested", "tool_failed", "tool_failed", "run_cancelled"]
        last = (await house.events(live))[-1]
        assert isinstance(last, e.RunCancelled) and last.reason == "disconnect"


async def test_two_who_cancel_at_once_are_both_told_that_it_is_cancelled(houses: Houses) -> None:
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def slow_to_end(call: ToolCall, ctx: CallContext) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await cleaned.wait()
        return ""

    houses.tools.add("tool", slow_to_end)
    houses.model.will(calls(("tool", "{}")))
    async with houses.open() as house:
        live = await house.start()
        await house.until(live.id, e.ToolStarted)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(house.runs.cancel(SYSTEM, live.id))
            await cleaning.wait()
            second = group.create_task(house.runs.cancel(SYSTEM, live.id))
            await house.until(live.id, e.CancelRequested)
            cleaned.set()
        assert (first.result().status, second.result().status) == ("cancelled", "cancelled")


async def test_a_run_that_waits_is_cancelled_without_ever_beginning(houses: Houses) -> None:
    held = Held("a")
    houses.model.will(held)
    async with houses.open(max_active=1) as house:
        first = await house.start()
        await held.showing.wait()
        waiting = await house.start()
        assert (await house.runs.cancel(SYSTEM, waiting.id)).status == "cancelled"
        assert await house.story(waiting) == ["run_queued", "cancel_requested", "run_cancelled"]
        assert house.scheduler.queued == 0
        held.go.set()
        await house.ended(first)
        assert len(houses.model.asks) == 1


async def test_what_has_ended_cannot_be_cancelled_and_what_is_cancelled_stays_so(houses: Houses) -> None:
    async with houses.open() as house:
        done = await house.run()
        with pytest.raises(Conflict) as refused:
            await house.runs.cancel(SYSTEM, done.id)
        assert refused.value.code == "run_ended"
        await house.scheduler.cancel(done.id, "request", 1)  # it ended between the look and the act
        assert (await house.runs.get(SYSTEM, done.id)).status == "completed"
        assert (await house.story(done))[-1] == "run_completed"


async def test_who_cancels_a_run_that_ends_at_this_very_moment_hears_how_it_ended(houses: Houses) -> None:
    async with houses.open() as house:
        for _ in range(20):
            held = Held("a", then="b")
            houses.model.will(held)
            live = await house.start()
            await held.showing.wait()
            cancelling = asyncio.gather(house.runs.cancel(SYSTEM, live.id), return_exceptions=True)
            held.go.set()
            (outcome,) = await cancelling
            await house.ended(live)
            status = (await house.runs.get(SYSTEM, live.id)).status
            if isinstance(outcome, Conflict):
                assert (status, outcome.code) == ("completed", "run_ended")
            else:
                assert (status, outcome.status) == ("cancelled", "cancelled")  # type: ignore[union-attr]


async def test_nobody_cancels_another_tenant_s_run(houses: Houses) -> None:
    async with houses.open() as house:
        live = await house.run()
        with pytest.raises(NotFound):
            await house.runs.cancel(Principal("other"), live.id)


async def test_a_conversation_goes_on_after_a_run_that_left_calls_unanswered(houses: Houses) -> None:
    """Providers refuse a conversation in which a call has no result."""
    houses.agent("default", "tools: ['*']\nbudgets: {tool_calls: 1}")
    houses.model.will(calls(("clock", "{}"), ("clock", "{}")), answers("ok"))
    async with houses.open() as house:
        await house.run("one", session_id="s")
        await house.run("two", session_id="s")
        asked = houses.model.asks[1].messages
        assert [m.role for m in asked] == ["user", "assistant", "tool", "tool", "user"]
        told = [part for m in asked[2:4] for part in m.parts]
        assert [part.call_id for part in told if isinstance(part, ToolResult)] == [call.id for call in asked[1].calls]
        assert all(isinstance(part, ToolResult) and part.text == "This call was not carried out." for part in told)
