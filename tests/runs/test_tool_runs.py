"""A tool call from outside is a run of one step: recorded, cancellable, and never made twice in silence."""

import asyncio
from typing import Any

import msgspec
import pytest

from agentrt import events as e
from agentrt.agents import SandboxRule
from agentrt.kernel import SYSTEM, Exhausted, NotFound, Principal, Unavailable
from agentrt.messages import Text, ToolCall, ToolResult
from agentrt.runs import RunFilter, direct, event_object
from agentrt.tools import Artifact, CallContext, Output
from fixtures.house import HeldTool, House, Houses

pytestmark = pytest.mark.anyio

CALL = ToolCall("call_1", "make", '{"what": "tea"}')
BOX = direct("direct", SandboxRule(pool="code"))


async def only_run(house: House) -> Any:
    (run,) = (await house.runs.list(SYSTEM, RunFilter())).data
    return run


async def test_a_call_is_a_run_with_its_output_and_no_model_is_asked(houses: Houses) -> None:
    seen: list[Output | Artifact] = []

    async def make(call: ToolCall, ctx: CallContext) -> ToolResult:
        assert (ctx.session_id, ctx.agent.name, ctx.who.user) == ("desk", "default", "ada")
        await ctx.emit(Output("stdout", "boiling\n"))
        await ctx.emit(Artifact("file_" + "0" * 32, "cup.png", "image/png", 7))
        return ToolResult(call.id, (Text("tea"),), structured={"cups": 1})

    async def listen(piece: Output | Artifact) -> None:
        seen.append(piece)

    houses.tools.add("make", make)
    who = Principal(user="ada")
    async with houses.open() as house:
        done = await house.tool_runs.call(who, None, CALL, session_id="desk", metadata={"from": "test"}, emit=listen)
        assert (done.result.text, done.result.structured, done.reason) == ("tea", {"cups": 1}, "")
        assert [type(piece).__name__ for piece in seen] == ["Output", "Artifact"]
        assert await house.story(done.run_id) == [
            "run_started", "tool_started", "tool_stdout", "artifact_created", "tool_completed", "final_text", "run_completed",
        ]  # fmt: skip
        run = await house.runs.get(who, done.run_id)
        assert (run.status, run.agent, run.metadata, run.output and run.output.text) == (
            "completed", "default", {"from": "test"}, "tea",
        )  # fmt: skip
        (step,) = await house.runs.steps(who, done.run_id)
        assert (step.type, step.name, step.status, step.arguments) == ("tool", "make", "completed", CALL.arguments)
        assert not houses.model.asks


async def test_an_answer_that_is_an_error_completes_the_run_and_no_answer_fails_it(houses: Houses) -> None:
    async def says_no(call: ToolCall, ctx: CallContext) -> ToolResult:
        return ToolResult(call.id, (Text("no milk"),), is_error=True)

    async def breaks(call: ToolCall, ctx: CallContext) -> str:
        raise NotFound("the kettle is gone", code="kettle_gone")

    houses.tools.add("make", says_no)
    houses.tools.add("break", breaks)
    async with houses.open() as house:
        answered = await house.tool_runs.call(SYSTEM, BOX, CALL)
        assert (answered.result.is_error, answered.result.text, answered.reason) == (True, "no milk", "")
        assert (await house.runs.get(SYSTEM, answered.run_id)).status == "completed"
        failed = await house.tool_runs.call(SYSTEM, BOX, ToolCall("call_2", "break"))
        assert (failed.result.is_error, failed.result.text, failed.reason) == (True, "the kettle is gone", "kettle_gone")
        run = await house.runs.get(SYSTEM, failed.run_id)
        assert (run.status, run.error and run.error.code) == ("failed", "kettle_gone")


async def test_cancelling_the_run_stops_the_tool_and_tells_who_waits(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("make", held)
    async with houses.open() as house, asyncio.TaskGroup() as group:
        asked = group.create_task(house.tool_runs.call(SYSTEM, BOX, CALL))
        await held.entered.wait()
        assert (await house.runs.cancel(SYSTEM, (await only_run(house)).id)).status == "cancelled"
        done = await asked
        assert held.stopped.is_set()
        assert (done.reason, done.result.is_error) == ("cancelled", True)


async def test_a_caller_who_leaves_takes_the_run_along(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("make", held)
    async with houses.open() as house, asyncio.TaskGroup() as group:
        asked = group.create_task(house.tool_runs.call(SYSTEM, BOX, CALL))
        await held.entered.wait()
        asked.cancel()
        await held.stopped.wait()
        run = await only_run(house)
        await house.until(run.id, e.RunCancelled)
        assert (await house.runs.get(SYSTEM, run.id)).status == "cancelled"


async def unanswered(house: House) -> None:
    with pytest.raises(Unavailable, match="shutting down"):
        await house.tool_runs.call(SYSTEM, BOX, CALL, session_id="desk")


@pytest.mark.parametrize(("effect", "status", "made"), [("unsafe", "failed", 1), ("idempotent", "completed", 2)])
async def test_after_a_crash_an_unsafe_call_is_not_made_again(houses: Houses, effect: Any, status: str, made: int) -> None:
    held = HeldTool()
    houses.tools.add("make", held, effect)
    async with asyncio.TaskGroup() as group:
        async with houses.open() as house:
            group.create_task(unanswered(house))
            await held.entered.wait()
            run_id = (await only_run(house)).id
            house.journal.end_tails()  # the server goes down, and what is under way is cut off
        held.go.set()
        async with houses.open() as house:
            await house.until(run_id, e.RunCompleted if status == "completed" else e.RunFailed)
            run = await house.runs.get(SYSTEM, run_id)
            assert (run.status, len(houses.tools.made)) == (status, made)
            if status == "failed":
                assert run.error is not None and run.error.code == "outcome_unknown"


async def test_what_is_not_offered_opens_no_run(houses: Houses) -> None:
    async with houses.open() as house:
        with pytest.raises(NotFound, match="there is no tool 'make'"):
            await house.tool_runs.call(SYSTEM, BOX, CALL)
        with pytest.raises(NotFound, match="there is no agent"):
            await house.tool_runs.call(SYSTEM, "nobody", CALL)
        assert (await house.runs.list(SYSTEM, RunFilter())).data == []


async def test_a_call_does_not_wait_for_a_place(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("make", held)
    async with houses.open(max_active=1) as house, asyncio.TaskGroup() as group:
        first = group.create_task(house.tool_runs.call(SYSTEM, BOX, CALL))
        await held.entered.wait()
        with pytest.raises(Exhausted) as refused:
            await house.tool_runs.call(SYSTEM, BOX, CALL)
        assert refused.value.retry_after_s
        held.go.set()
        assert (await first).result.text == "held"


async def test_a_budget_holds_for_it_too(houses: Houses) -> None:
    held = HeldTool()
    houses.tools.add("make", held)
    houses.agent("brief", "tools: ['*']\nbudgets: {seconds: 0.2}")
    async with houses.open() as house:
        done = await house.tool_runs.call(SYSTEM, "brief", CALL)
        assert done.reason == "budget_exceeded"
        assert held.stopped.is_set()


async def test_what_a_watcher_sees_does_not_repeat_the_arguments(houses: Houses) -> None:
    async def make(call: ToolCall, ctx: CallContext) -> str:
        return "tea"

    houses.tools.add("make", make)
    async with houses.open() as house:
        done = await house.tool_runs.call(SYSTEM, BOX, CALL)
        batches = await house.runs.watch(SYSTEM, done.run_id)
        assert batches is not None
        shown = [event_object(item) async for batch in batches for item in batch]
        assert "only" not in shown[0] and shown[1]["arguments"] == CALL.arguments
        assert msgspec.json.encode(shown).count(b"tea") == 3
