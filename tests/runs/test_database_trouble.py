"""The database refuses for a while in the middle of a run: nothing that happened is forgotten, and the run goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from agentrt import events as e
from agentrt.kernel import SYSTEM, Unavailable
from agentrt.messages import ToolCall
from agentrt.providers import ModelAsk
from agentrt.tools import CallContext, Output
from fixtures.house import Held, HeldTool, House, Houses, Said, answers, calls, retries

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def refusing(house: House) -> AsyncIterator[None]:
    """The log cannot be written for the time of the block."""
    async with house.db.write() as conn:
        await conn.exec_driver_sql("ALTER TABLE run_events RENAME TO away")
    try:
        yield
    finally:
        async with house.db.write() as conn:
            await conn.exec_driver_sql("ALTER TABLE away RENAME TO run_events")


class Refusals:
    """Listens to the log for writes that were refused."""

    def __init__(self) -> None:
        self._seen: dict[str, asyncio.Event] = {}

    def __call__(self, logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if line["event"] == "run.write_refused":
            self._of(line["run_id"]).set()
        raise structlog.DropEvent

    def _of(self, run_id: str) -> asyncio.Event:
        return self._seen.setdefault(run_id, asyncio.Event())

    async def of(self, run_id: str) -> None:
        """Return once a write of this run was refused."""
        async with asyncio.timeout(30):
            await self._of(run_id).wait()


@pytest.fixture
def refusals() -> Iterator[Refusals]:
    listening = Refusals()
    structlog.configure(processors=[listening])
    yield listening
    structlog.reset_defaults()


async def test_a_run_is_not_accepted_while_nothing_can_be_recorded(houses_on_each: Houses) -> None:
    async with houses_on_each.open() as house:
        async with refusing(house):
            with pytest.raises(Unavailable) as why:
                await house.start()
            assert why.value.code == "database_unavailable" and why.value.retry_after_s
            assert house.scheduler.active == 0
        live = await house.run()
        assert (await house.runs.get(SYSTEM, live.id)).status == "completed"


async def test_an_answer_is_held_until_it_can_be_written(houses_on_each: Houses, refusals: Refusals) -> None:
    held = Held("Half", " whole.")
    houses_on_each.model.will(held)
    async with houses_on_each.open() as house:
        live = await house.start()
        await held.showing.wait()
        async with refusing(house):
            held.go.set()
            await refusals.of(live.id)
        await house.ended(live)
        assert await house.story(live) == ["run_started", "model_started", "model_completed", "final_text", "run_completed"]


async def test_tools_side_by_side_keep_their_outcomes_and_their_output(houses: Houses, refusals: Refusals) -> None:
    entered = HeldTool()

    async def chatty(call: ToolCall, ctx: CallContext) -> str:
        await entered(call, ctx)
        await ctx.emit(Output("stdout", "working\n"))
        return "chatty"

    async def quick(call: ToolCall, ctx: CallContext) -> str:
        await entered.entered.wait()
        await entered.go.wait()
        return "quick"

    houses.tools.add("chatty", chatty)
    houses.tools.add("quick", quick)
    houses.model.will(calls(("chatty", "{}"), ("quick", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.start()
        await entered.entered.wait()
        async with refusing(house):
            entered.go.set()
            await refusals.of(live.id)
        await house.ended(live)
        story = await house.story(live)
        assert sorted(story[5:8]) == ["tool_completed", "tool_completed", "tool_stdout"]
        assert story[8:] == ["model_started", "model_completed", "final_text", "run_completed"]
        assert len(houses.tools.made) == 2


async def test_a_retry_that_cannot_be_noted_at_once_does_not_fail_the_model_call(houses: Houses, refusals: Refusals) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def later(ask: ModelAsk) -> Said:
        asked.set()
        await go.wait()
        async for batch in retries(answers("ok"))(ask):
            yield batch

    houses.model.will(later)
    async with houses.open() as house:
        live = await house.start()
        await asked.wait()
        async with refusing(house):
            go.set()
            await refusals.of(live.id)
        await house.ended(live)
        assert (await house.story(live))[1:4] == ["model_started", "model_retrying", "model_completed"]


async def test_a_waiting_run_waits_on_when_its_turn_comes_at_a_bad_moment(houses: Houses, refusals: Refusals) -> None:
    held = Held("a")
    houses.model.will(held, answers("second"))
    async with houses.open(max_active=1) as house:
        first = await house.start()
        await held.showing.wait()
        second = await house.start()
        async with refusing(house):
            held.go.set()
            await refusals.of(first.id)
        await house.ended(second)
        assert (await house.runs.get(SYSTEM, second.id)).status == "completed"


async def test_cancelling_is_refused_at_once_while_it_cannot_be_recorded(houses: Houses) -> None:
    held = Held("a")
    houses.model.will(held)
    async with houses.open() as house:
        live = await house.start()
        await held.showing.wait()
        async with refusing(house):
            with pytest.raises(Unavailable):
                await house.runs.cancel(SYSTEM, live.id)
            assert not held.closed.is_set()
        assert (await house.runs.cancel(SYSTEM, live.id)).status == "cancelled"
        assert isinstance((await house.events(live))[-1], e.RunCancelled)
