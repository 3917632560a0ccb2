"""What runs cost: written with each attempt, summed in the run, kept within a budget."""

import asyncio

import pytest

from agentrt import events as e
from agentrt.kernel import SYSTEM
from agentrt.messages import Usage
from agentrt.providers import Price, Retrying
from fixtures.house import Houses, Said, answers, breaks, calls

pytestmark = pytest.mark.anyio

PRICE = Price(input=100_000.0, output=200_000.0)  # 0.1 and 0.2 dollars a token
SOME_COST = 10 * 0.1 + 5 * 0.2


def costs(events: list[e.StoredEvent]) -> list[float | None]:
    return [event.cost_usd for event in events if isinstance(event, e.ModelCompleted | e.ModelFailed | e.ModelRetrying)]


async def test_the_offline_model_is_known_to_be_free(houses: Houses) -> None:
    async with houses.open() as house:
        live = await house.run()
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.cost_usd, costs(await house.events(live))) == (0.0, [0.0])


async def test_every_call_is_priced_by_who_answered(houses_on_each: Houses) -> None:
    houses_on_each.prices |= {"acme/*": PRICE}
    usage = Usage(10, 5, cached=4, reasoning=2, cache_write=3, audio_input=1, audio_output=1, image_input=2)
    houses_on_each.model.will(calls(("clock", "{}"), by="acme/a"), answers("now", usage=usage, by="acme/b"))
    async with houses_on_each.open() as house:
        live = await house.run()
        view = await house.runs.get(SYSTEM, live.id)
        assert view.cost_usd == pytest.approx(2 * SOME_COST, abs=1e-12)
        assert (view.usage.cache_write_tokens, view.usage.audio_input_tokens, view.usage.audio_output_tokens) == (3, 1, 1)
        steps = await house.runs.steps(SYSTEM, live.id)
        assert [step.cost_usd for step in steps] == [SOME_COST, None, SOME_COST]
        assert steps[2].usage and (steps[2].usage.cache_write_tokens, steps[2].usage.image_input_tokens) == (3, 2)


async def test_one_unknown_price_makes_the_sum_unknown_and_never_zero(houses: Houses) -> None:
    houses.prices |= {"acme/*": PRICE}
    houses.model.will(calls(("clock", "{}"), by="acme/a"), answers("now", by="nobody/knows"))
    async with houses.open() as house:
        live = await house.run()
        assert (await house.runs.get(SYSTEM, live.id)).cost_usd is None
        assert costs(await house.events(live)) == [SOME_COST, None]
        assert [step.cost_usd for step in await house.runs.steps(SYSTEM, live.id)] == [SOME_COST, None, None]


async def test_failed_attempts_that_were_billed_count(houses: Houses) -> None:
    houses.prices |= {"acme/*": PRICE}

    async def fails_twice(ask: object) -> Said:
        told = {"attempt": 1, "code": "overloaded", "message": "busy", "wait_s": 0.0, "duration_ms": 1.0, "provider": "acme"}
        yield [Retrying(**told, model="a", next="acme/b", usage=Usage(10, 0, estimated=True))]
        yield [Retrying(**told, model="b", next="acme/c")]
        async for batch in answers("done", by="acme/c")(ask):  # type: ignore[arg-type]
            yield batch

    houses.model.will(fails_twice)
    async with houses.open() as house:
        live = await house.run()
        assert costs(await house.events(live)) == [1.0, 0.0, SOME_COST]
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.cost_usd, view.usage.estimated) == (pytest.approx(1.0 + SOME_COST), True)
        (step,) = await house.runs.steps(SYSTEM, live.id)
        assert [attempt.cost_usd for attempt in step.failed_attempts] == [1.0, 0.0]


async def test_an_answer_that_breaks_off_is_counted_and_said_to_be_an_estimate(houses: Houses) -> None:
    houses.model.will(breaks("server_error", after="I was just about to"))
    async with houses.open() as house:
        live = await house.run()
        (failed,) = [event for event in await house.events(live) if isinstance(event, e.ModelFailed)]
        assert failed.usage.estimated and failed.usage.input > 0 and failed.usage.output == 5
        assert failed.cost_usd == 0.0, "the offline model's failure costs nothing either"


@pytest.mark.parametrize("named", ["acme/b", "nobody/knows"])
async def test_a_call_in_which_the_server_died_costs_what_was_sent_as_an_estimate(houses_on_each: Houses, named: str) -> None:
    houses = houses_on_each
    houses.prices |= {"acme/b": PRICE}
    asked_next = asyncio.Event()

    async def fails_once_then_hangs(ask: object) -> Said:
        told = {"attempt": 1, "code": "overloaded", "message": "busy", "wait_s": 0.0, "duration_ms": 1.0}
        yield [Retrying(**told, provider="acme", model="a", next=named)]
        asked_next.set()
        await asyncio.Event().wait()

    houses.model.will(fails_once_then_hangs, answers("ok", usage=Usage(10, 5), by="acme/b"))
    async with houses.open() as house:
        live = await house.start("four bytes are a token")
        await asked_next.wait()
    async with houses.open() as house:
        await house.ended(live := await house.again(live.id))
        (failed,) = [event for event in await house.events(live) if isinstance(event, e.ModelFailed)]
        assert failed.interrupted and failed.usage.estimated and failed.usage.input > 5 and failed.usage.output == 0
        assert "estimated" in failed.message
        view = await house.runs.get(SYSTEM, live.id)
        assert view.usage.estimated and view.usage.input_tokens == failed.usage.input + 10
        if named == "acme/b":
            assert failed.cost_usd == pytest.approx(failed.usage.input * 0.1), "at the price of who was asked last"
        else:
            assert (failed.cost_usd, view.cost_usd) == (None, None), "unknown, and never zero by mistake"


async def test_a_cost_budget_stops_a_run_and_the_log_says_so(houses: Houses) -> None:
    houses.agent("default", "tools: ['*']\nbudgets: {cost: 3.5}")
    houses.prices |= {"acme/*": PRICE}
    houses.model.will(*(calls(("clock", "{}"), by="acme/a") for _ in range(9)))
    async with houses.open() as house:
        live = await house.run()
        exceeded = [event for event in await house.events(live) if isinstance(event, e.BudgetExceeded)]
        assert exceeded == [e.BudgetExceeded(budget="cost", limit=3.5, spent=2 * SOME_COST)]
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.status, view.cost_usd, view.error and view.error.code) == ("failed", 2 * SOME_COST, "budget_exceeded")


async def test_an_answer_within_the_budget_is_never_withheld(houses: Houses) -> None:
    houses.agent("default", "budgets: {cost: 0.01}")
    houses.prices |= {"acme/*": PRICE}
    houses.model.will(answers("dear", by="acme/a"))
    async with houses.open() as house:
        live = await house.run()
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.status, view.output and view.output.text) == ("completed", "dear")


async def test_a_price_that_is_not_known_after_all_ends_a_run_with_a_cost_budget(houses: Houses) -> None:
    houses.agent("default", "tools: ['*']\nbudgets: {cost: 3}")
    houses.model.will(calls(("clock", "{}"), by="nobody/knows"))
    async with houses.open() as house:
        live = await house.run()
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.status, view.error and view.error.code) == ("failed", "price_unknown")


async def test_what_was_paid_is_not_priced_again(houses: Houses) -> None:
    """A later price list, or other settings, change nothing of an old run."""
    houses.prices |= {"acme/*": PRICE}
    houses.model.will(answers("one", by="acme/a"))
    async with houses.open() as house:
        live = await house.run()
    houses.prices["acme/*"] = Price(input=1.0, output=1.0)
    async with houses.open() as house:
        assert (await house.runs.get(SYSTEM, live.id)).cost_usd == SOME_COST
        assert costs(await house.events(live.id)) == [SOME_COST]


async def test_many_small_costs_add_up_exactly(houses_on_each: Houses) -> None:
    houses_on_each.prices |= {"acme/*": Price(input=0.1, output=0.0)}
    houses_on_each.model.will(*(calls(("clock", "{}"), by="acme/a") for _ in range(9)), answers("done", by="acme/a"))
    async with houses_on_each.open() as house:
        live = await house.run()
        assert (await house.runs.get(SYSTEM, live.id)).cost_usd == 1e-05
