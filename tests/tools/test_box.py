"""Every tool of an agent in one place: who may call what, how often, for how long."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agentrt.agents import AgentSpec, Effect, Retry, ToolRule
from agentrt.kernel import SYSTEM, Principal
from agentrt.messages import Image, Text, ToolCall, ToolResult
from agentrt.tools import CallContext, Output, ToolBox, ToolDef, ToolTimedOut, ToolUnavailable

pytestmark = pytest.mark.anyio


class Source:
    """A source of some tools; each call takes the next of `will`: a text, a result, an error, or None to hang."""

    def __init__(self, *names: str, effect: Effect = "read", will: Sequence[Any] = ()) -> None:
        self.names, self._effect, self._will = list(names), effect, list(will)
        self.calls: list[CallContext] = []
        self.listed = 0
        self.may_list = asyncio.Event()
        self.may_list.set()

    async def list(self, agent: AgentSpec, who: Principal) -> Sequence[ToolDef]:
        self.listed += 1
        names = [*self.names]
        await self.may_list.wait()
        return [ToolDef(id=name, description="", schema={"type": "object"}, effect=self._effect) for name in names]

    def missing(self, agent: AgentSpec, who: Principal) -> Mapping[str, str]:
        return {}

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        self.calls.append(ctx)
        outcome = self._will.pop(0) if self._will else "ok"
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is None:
            await asyncio.Event().wait()
        return outcome if isinstance(outcome, ToolResult) else ToolResult(call.id, (Text(outcome),))


class World:
    """A box over sources, and what its calls said and kept."""

    def __init__(self, *sources: Source) -> None:
        self.said: list[Output] = []
        self.kept: list[bytes] = []
        self.box = ToolBox(sources, self._keep)

    async def _keep(self, who: Principal, run_id: str, data: bytes, media_type: str, name: str) -> str:
        self.kept.append(data)
        return "file_1"

    async def _emit(self, output: Output) -> None:
        self.said.append(output)

    async def offered(self, agent: AgentSpec, mode: str = "interactive", who: Principal = SYSTEM) -> list[str]:
        return [tool.id for tool in (await self.box.offer(agent, who, mode)).defs]

    async def call(self, agent: AgentSpec, name: str, arguments: str = "{}", timeout_s: float = 1.0) -> ToolResult:
        offer = await self.box.offer(agent, SYSTEM, "interactive")
        ctx = CallContext(
            who=SYSTEM,
            run_id="run_a",
            session_id=None,
            agent=agent,
            timeout_s=timeout_s,
            idempotency_key="key",
            emit=self._emit,
        )
        return await self.box.call(offer, ToolCall("call_1", name, arguments), ctx)


def agent(*tools: str | ToolRule, attempts: int = 1) -> AgentSpec:
    return AgentSpec(name="a", tools=tools, retry=Retry(attempts=attempts, backoff=0.0))


async def test_an_agent_is_offered_what_its_globs_allow(anyio_backend: str) -> None:
    world = World(Source("echo__say", "echo__add", "files__read", "clock"))
    assert await world.offered(agent()) == []
    assert await world.offered(agent("echo__*", "clock")) == ["echo__say", "echo__add", "clock"]
    assert await world.offered(agent("*")) == ["echo__say", "echo__add", "files__read", "clock"]


async def test_finish_task_is_for_autonomous_runs_whatever_the_globs() -> None:
    world = World(Source("clock", "finish_task"))
    assert await world.offered(agent("*")) == ["clock"]
    assert await world.offered(agent(), "autonomous") == ["finish_task"]


async def test_of_two_tools_with_one_name_the_first_source_s_is_meant() -> None:
    first, second = Source("say", will=["first"]), Source("say", will=["second"])
    assert (await World(first, second).call(agent("*"), "say")).text == "first"
    assert second.calls == []


async def test_the_first_rule_that_fits_governs() -> None:
    rules = (ToolRule(match="pay_*", effect="unsafe"), ToolRule(match="*", effect="idempotent"))
    offer = await World(Source("pay_now", "look", effect="read")).box.offer(agent(*rules), SYSTEM, "interactive")
    assert offer.effects == {"pay_now": "unsafe", "look": "idempotent"}


async def test_sources_are_asked_again_only_when_something_changed() -> None:
    source = Source("one")
    world, who = World(source), agent("*")
    await world.offered(who)
    await world.offered(who)
    assert source.listed == 1
    source.names.append("two")
    world.box.forget_offers()
    assert await world.offered(who) == ["one", "two"]
    later = Source("three")
    world.box.add(later)
    assert await world.offered(who) == ["one", "two", "three"]


async def test_a_change_while_a_source_is_being_asked_is_not_lost() -> None:
    source = Source("one")
    world, who = World(source), agent("*")
    source.may_list.clear()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(world.offered(who))
        group.create_task(change(source, world))
    assert asked.result() == ["one"]
    assert await world.offered(who) == ["one", "two"]


async def change(source: Source, world: World) -> None:
    source.names.append("two")
    world.box.forget_offers()
    source.may_list.set()


async def test_users_do_not_share_an_offer() -> None:
    source = Source("one")
    world, who = World(source), agent("*")
    await world.offered(who, who=Principal(user="ann"))
    await world.offered(who, who=Principal(user="bob"))
    assert source.listed == 2


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_what_failed_on_its_way_is_called_again_with_the_same_key_and_says_so(effect: Effect) -> None:
    source = Source("say", effect=effect, will=[ToolUnavailable("gone", sent=True), ToolUnavailable("gone", sent=False), "ok"])
    world = World(source)
    assert (await world.call(agent("*", attempts=3), "say")).text == "ok"
    assert [ctx.idempotency_key for ctx in source.calls] == ["key"] * 3
    assert [output.text for output in world.said] == [
        "attempt 1 of 3 failed: gone; again in 0.0 s\n",
        "attempt 2 of 3 failed: gone; again in 0.0 s\n",
    ]


async def test_it_is_not_called_more_often_than_the_profile_says() -> None:
    source = Source("say", will=[ToolUnavailable("gone", sent=True)] * 5)
    with pytest.raises(ToolUnavailable):
        await World(source).call(agent("*", attempts=2), "say")
    assert len(source.calls) == 2


@pytest.mark.parametrize("sent", [True, False])
async def test_an_unsafe_tool_is_called_once(sent: bool) -> None:
    source = Source("pay", effect="unsafe", will=[ToolUnavailable("gone", sent=sent)])
    with pytest.raises(ToolUnavailable):
        await World(source).call(agent("*", attempts=3), "pay")
    assert len(source.calls) == 1


async def test_what_the_profile_calls_unsafe_is_unsafe_whatever_the_tool_says() -> None:
    source = Source("say", effect="read", will=[ToolUnavailable("gone", sent=True)])
    with pytest.raises(ToolUnavailable):
        await World(source).call(agent(ToolRule(match="*", effect="unsafe", retry=Retry(attempts=3))), "say")


async def test_an_answer_that_says_it_failed_is_an_answer() -> None:
    source = Source("say", will=[ToolResult("call_1", (Text("no such city"),), is_error=True)])
    result = await World(source).call(agent("*", attempts=3), "say")
    assert result.is_error and len(source.calls) == 1


async def test_a_rule_s_time_limit_ends_the_call() -> None:
    source = Source("slow", will=[None])
    with pytest.raises(ToolTimedOut, match=r"slow gave no answer within 0\.02 s"):
        await World(source).call(agent(ToolRule(match="*", timeout=0.02), attempts=3), "slow")
    assert len(source.calls) == 1


async def test_a_call_takes_no_longer_than_the_run_has_left() -> None:
    source = Source("slow", will=[None])
    with pytest.raises(ToolTimedOut, match=r"within 0\.01 s"):
        await World(source).call(agent("*"), "slow", timeout_s=0.01)


async def test_a_source_s_own_mistake_ends_the_call_with_a_sentence() -> None:
    source = Source("say", effect="unsafe", will=[LookupError("inner words")])
    with pytest.raises(ToolUnavailable) as failed:
        await World(source).call(agent("*"), "say")
    assert failed.value.message == "say failed inside its source (LookupError)" and failed.value.sent


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"a": ', "the arguments of say are not valid JSON"),
        ("[1]", "the arguments of say must be a JSON object, not list"),
        ("null", "must be a JSON object, not NoneType"),
    ],
)
async def test_arguments_that_are_no_object_never_reach_the_tool(arguments: str, why: str) -> None:
    source = Source("say")
    result = await World(source).call(agent("*"), "say", arguments)
    assert result.is_error and why in result.text and source.calls == []


async def test_no_arguments_are_none() -> None:
    assert (await World(Source("say")).call(agent("*"), "say", "  ")).text == "ok"


async def test_a_long_answer_keeps_its_beginning_its_end_and_its_pictures() -> None:
    long = ToolResult("call_1", (Text("a" * 90_000), Image(file="file_0"), Text("b" * 90_000)))
    world = World(Source("say", will=[long]))
    result = await world.call(agent("*"), "say")
    assert world.kept == [b"a" * 90_000 + b"\n" + b"b" * 90_000]
    assert result.text.startswith("a" * 50_000) and result.text.endswith("b" * 50_000)
    assert "[... 80001 characters left out; the whole output is the file file_1 ...]" in result.text
    assert Image(file="file_0") in result.parts


async def test_a_tool_that_is_not_offered_any_more_is_unavailable() -> None:
    with pytest.raises(ToolUnavailable, match="gone is not there now"):
        await World(Source("say")).call(agent("*"), "gone")
