"""What the log says of runs is the agent's choice."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from fixtures.house import Held, House, Houses, answers, breaks, calls, crashes

pytestmark = pytest.mark.anyio


async def lines_about(houses: Houses, *, logging: str, **open_: Any) -> list[Any]:
    """The log's lines about one run that answers, one that fails and one whose model client has a mistake."""
    houses.agent("default", f"logging: {logging}")
    houses.model.will(answers("fine"), breaks("overloaded"), crashes())
    with capture_logs() as lines:
        async with houses.open(**open_) as house:
            for _ in range(3):
                await house.run()
    return [line for line in lines if line["event"].startswith(("run.", "model."))]


def said(lines: list[Any]) -> list[tuple[str, str]]:
    return [(line["log_level"], line["event"]) for line in lines]


async def test_by_default_only_failures_are_logged(houses: Houses) -> None:
    houses.agent("default", "")
    houses.model.will(answers("fine"), breaks("overloaded"))
    with capture_logs() as lines:
        async with houses.open() as house:
            await house.run()
            failed = await house.run()
    (line,) = [line for line in lines if line["event"].startswith("run.")]
    assert (line["log_level"], line["event"], line["run_id"], line["code"]) == ("warning", "run.failed", failed.id, "overloaded")


async def test_info_says_where_a_run_begins_and_how_it_ended(houses: Houses) -> None:
    lines = await lines_about(houses, logging="info")
    assert said(lines) == [
        ("info", "run.started"),
        ("info", "run.completed"),
        ("info", "run.started"),
        ("warning", "run.failed"),
        ("info", "run.started"),
        ("error", "model.crashed"),
        ("warning", "run.failed"),
    ]
    ended = lines[1]
    assert (ended["agent"], ended["model"], ended["input_tokens"], ended["output_tokens"]) == (
        "default",
        "offline/offline",
        10,
        5,
    )
    assert ended["duration_s"] >= 0


async def test_error_leaves_mistakes_of_the_server_only(houses: Houses) -> None:
    assert said(await lines_about(houses, logging="error")) == [("error", "model.crashed")]


async def test_debug_has_a_line_for_every_event_in_the_order_of_the_journal(houses: Houses) -> None:
    houses.agent("default", "logging: debug\ntools: ['*']")
    houses.model.will(calls(("clock", "{}")), answers("it is late"))
    with capture_logs() as lines:
        async with houses.open() as house:
            live = await house.run()
            story = await house.story(live)
    told = [line for line in lines if line["event"] == "run.event"]
    assert [(line["seq"], line["type"]) for line in told] == list(enumerate(story, 1))
    assert {line["run_id"] for line in told} == {live.id}
    assert "it is late" not in str(lines), "no text of a conversation is in the log"


async def test_a_run_that_is_taken_up_again_is_not_told_twice(houses: Houses) -> None:
    houses.agent("default", "logging: debug")
    held = Held("half")
    houses.model.will(held, answers("whole"))

    async def cut_off(house: House) -> str:
        live = await house.start()
        await held.showing.wait()
        return live.id

    with capture_logs() as lines:
        async with houses.open() as house:
            run_id = await cut_off(house)
        async with houses.open() as house:
            await house.ended(await house.again(run_id))
            story = await house.story(run_id)
    told = [line for line in lines if line["event"] == "run.event"]
    assert [(line["seq"], line["type"]) for line in told] == list(enumerate(story, 1))
    assert [line["event"] for line in lines if line["event"] in ("run.started", "run.completed")] == [
        "run.started",
        "run.completed",
    ]
