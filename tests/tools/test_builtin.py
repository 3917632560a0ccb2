"""The clock and the calculator, and what people (or models) try with them."""

import re
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from agentrt.agents import AgentSpec
from agentrt.kernel import SYSTEM
from agentrt.messages import ToolCall, ToolResult
from agentrt.tools import BuiltinTools, CallContext, Output

pytestmark = pytest.mark.anyio


class Noon:
    """A clock that stands at 2026-07-01T12:00:00Z."""

    def now_us(self) -> int:
        return 1_782_907_200_000_000


async def quiet(_: Output) -> None: ...


Ask = Callable[..., Awaitable[ToolResult]]


@pytest.fixture
def ask() -> Ask:
    tools = BuiltinTools(Noon())
    ctx = CallContext(
        who=SYSTEM, run_id="run_a", session_id=None, agent=AgentSpec(name="a"), timeout_s=1, idempotency_key="k", emit=quiet
    )

    async def call(name: str, **arguments: object) -> ToolResult:
        return await tools.call(ToolCall("call_1", name, msgspec.json.encode(arguments).decode()), ctx)

    return call


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 2", "4"),
        (" (2 + 3) * 4 ", "20"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("7 // 2 + 7 % 4", "6"),
        ("2 ^ 10", "1024"),
        ("2 ** -1", "0.5"),
        ("-3 + +4", "1"),
        ("1e3 * 2", "2000"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("2 ** 2000 // 2 ** 1990", "1024"),
    ],
)
async def test_arithmetic(ask: Ask, expression: str, value: str) -> None:
    result = await ask("calculator", expression=expression)
    assert (result.text, result.is_error) == (value, False)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("9 ** 9 ** 9", "the result is too large"),
        ("9 ** 9 ** 9 ** 9", "the result is too large"),
        ("10 ** 5000", "the result is too large"),
        ("(10 ** 1000) * (10 ** 1000)", "the result is too large"),
        ("1e308 * 10", "the result is too large"),
        ("1e308 * 10 - 1e308 * 10", "the result is too large"),
        ("2.0 ** 100000", "the result is too large"),
        ("(-8) ** 0.5", "the result is not a real number"),
        ("((-8) ** 0.5) // 2", "the result is not a real number"),
        ("1 / 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("__import__('os').system('true')", "only numbers"),
        ("(1).__class__", "only numbers"),
        ("[1] * 10", "only numbers"),
        ("'a' * 10", "only numbers"),
        ("True + 1", "only numbers"),
        ("lambda: 1", "only numbers"),
        ("x := 1", "is not an arithmetic expression"),
        ("2 +", "is not an arithmetic expression"),
        ("", "is not an arithmetic expression"),
        ("import os", "is not an arithmetic expression"),
        ("1 << 100000", "only numbers"),
        ("1" * 501, "longer than 500 characters"),
        ("(" * 250 + "1" + ")" * 250, ""),
        ("-" * 499 + "1", ""),
        ("\x00", ""),
    ],
)
async def test_giants_and_code_are_refused_with_a_sentence(ask: Ask, expression: str, why: str) -> None:
    result = await ask("calculator", expression=expression)
    assert result.text and why in result.text
    assert result.is_error or not why


async def test_the_clock_knows_zones(ask: Ask) -> None:
    assert (await ask("clock")).text == "Wednesday, 2026-07-01 12:00:00 UTC (2026-07-01T12:00:00+00:00)"
    assert re.search("14:00:00 CEST", (await ask("clock", timezone="Europe/Berlin")).text)
    assert (await ask("clock", timezone="")).text.endswith("(2026-07-01T12:00:00+00:00)")


@pytest.mark.parametrize("zone", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "Europe", "", "x" * 5000, "a\x00b", "Europe/"])
async def test_what_is_no_zone_is_said_to_be_none(ask: Ask, zone: str) -> None:
    result = await ask("clock", timezone=zone)
    assert result.is_error == bool(zone) and ("is not a time zone" in result.text) == bool(zone)


async def test_arguments_of_the_wrong_type_are_told(ask: Ask) -> None:
    assert (await ask("calculator", expression=4)).text == "the argument 'expression' must be a string"
    assert (await ask("calculator")).is_error
    assert (await ask("finish_task", result="done")).text == "done"
