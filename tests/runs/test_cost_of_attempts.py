"""What attempts cost that never became an answer: they count, they are told apart, and they are kept within the budget."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agentrt import events as e
from agentrt.events import TextDelta
from agentrt.kernel import SYSTEM
from agentrt.messages import Usage
from agentrt.providers import ModelFailure, Price, Retrying, used_at_least
from fixtures.house import Held, Houses, Said, answers, breaks

pytestmark = pytest.mark.anyio

PRICE = Price(input=100_000.0, output=200_000.0)  # 0.1 and 0.2 dollars a token
TOLD: dict[str, Any] = {"attempt": 1, "code": "timeout_idle", "message": "silent", "duration_ms": 1.0}


def failed_in(events: list[e.StoredEvent]) -> e.ModelFailed:
    (failed,) = [event for event in events if isinstance(event, e.ModelFailed)]
    return failed


def hands_over(to: str, then: Callable[..., Said]) -> Callable[[object], Said]:
    """A model that fails at once, and hands over to another."""

    async def answer(ask: object) -> Said:
        yield [Retrying(**TOLD, wait_s=0.0, provider="offline", model="offline", next=to)]
        async for batch in then(ask):
            yield batch

    return answer


async def test_a_model_that_was_left_before_its_first_word_is_not_taken_for_free(houses_on_each: Houses) -> None:
    houses = houses_on_each
    houses.prices |= {"offline/*": PRICE, "acme/a": PRICE}
    hangs = Held()

    houses.model.will(hands_over("acme/a", hangs))
    async with houses.open() as house:
        live = await house.start("four bytes are a token")
        await hangs.showing.wait()
        await house.runs.cancel(SYSTEM, live.id)
        failed = failed_in(await house.events(live))
        assert failed.usage.estimated and failed.usage.input > 5 and failed.usage.output == 0
        assert failed.cost_usd == pytest.approx(failed.usage.input * 0.1)
        assert (await house.runs.get(SYSTEM, live.id)).cost_usd == failed.cost_usd


@pytest.mark.parametrize("own", ["", "four more."], ids=["it shows nothing", "it breaks off too"])
async def test_a_text_that_was_gone_on_with_is_paid_for_once(houses_on_each: Houses, own: str) -> None:
    houses = houses_on_each
    houses.prices |= {"acme/*": PRICE}
    half = "eight by"

    async def breaks_in_turn(ask: object) -> Said:
        yield [TextDelta(text=half)]
        yield [Retrying(**TOLD, wait_s=0.0, provider="acme", model="a", next="acme/b", kept=len(half), usage=Usage(6, 2))]
        if own:
            yield [TextDelta(text=own)]
        raise ModelFailure("it refuses", code="overloaded")

    houses.model.will(breaks_in_turn)
    async with houses.open() as house:
        live = await house.run("four bytes are a token")
        failed = failed_in(await house.events(live))
        assert failed.text == half + own
        asked = used_at_least(houses.model.asks[0], own) + Usage(2)  # the text that is to be gone on with
        assert failed.usage == (asked if own else Usage())
        view = await house.runs.get(SYSTEM, live.id)
        assert view.cost_usd == pytest.approx(1.0 + (asked.input * 0.1 + 3 * 0.2 if own else 0))


async def test_an_unknown_price_of_a_model_that_was_left_is_not_zero(houses: Houses) -> None:
    hangs = Held()

    houses.model.will(hands_over("nobody/knows", hangs))
    async with houses.open() as house:
        live = await house.start()
        await hangs.showing.wait()
        view = await house.runs.cancel(SYSTEM, live.id)
        assert (view.cost_usd, view.usage.estimated) == (None, True)


async def test_who_leaves_between_two_attempts_leaves_nobody_at_work(houses: Houses) -> None:
    pausing = asyncio.Event()

    async def waits_long(ask: object) -> Said:
        yield [Retrying(**TOLD, wait_s=3600.0)]
        pausing.set()
        await asyncio.Event().wait()

    houses.model.will(waits_long)
    async with houses.open() as house:
        live = await house.start()
        await pausing.wait()
        await house.runs.cancel(SYSTEM, live.id)
        assert failed_in(await house.events(live)).usage == Usage()


@pytest.mark.parametrize(
    ("budgets", "by", "code", "exceeded"),
    [
        ("cost: 3", "acme/a", "budget_exceeded", e.BudgetExceeded(budget="cost", limit=3.0, spent=4.0)),
        ("tokens: 30", "acme/a", "budget_exceeded", e.BudgetExceeded(budget="tokens", limit=30.0, spent=40.0)),
        ("cost: 3", "nobody/knows", "price_unknown", None),
    ],
    ids=["cost", "tokens", "a price that is not known after all"],
)
async def test_attempts_that_failed_use_up_the_budget_before_another_is_made(
    houses_on_each: Houses, budgets: str, by: str, code: str, exceeded: e.BudgetExceeded | None
) -> None:
    houses = houses_on_each
    houses.agent("default", f"budgets: {{{budgets}}}")
    houses.prices |= {"acme/*": PRICE}
    made: list[int] = []

    async def fails_dearly(ask: object) -> Said:
        provider, _, model = by.partition("/")
        for attempt in range(1, 9):
            made.append(attempt)
            yield [Retrying(**TOLD | {"attempt": attempt}, wait_s=0.0, provider=provider, model=model, usage=Usage(20, 0))]
        async for batch in answers("too late")(ask):  # type: ignore[arg-type]
            yield batch

    houses.model.will(fails_dearly)
    async with houses.open() as house:
        live = await house.run()
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.status, view.error and view.error.code) == ("failed", code)
        told = [event for event in await house.events(live) if isinstance(event, e.BudgetExceeded)]
        assert told == ([] if exceeded is None else [exceeded])
        assert len(made) == (1 if exceeded is None else 2)
        assert failed_in(await house.events(live)).usage == Usage(), "the attempts have told what they took"


async def test_of_a_flood_the_log_keeps_no_more_than_it_can_bear(houses: Houses) -> None:
    houses.model.will(breaks(after="x" * 3_000_000))
    async with houses.open() as house:
        live = await house.run()
        assert failed_in(await house.events(live)).text == "x" * 1_000_000
