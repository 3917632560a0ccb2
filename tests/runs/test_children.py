"""Runs that code of another run begins: with its agent's models, on its budget, and never outliving it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from agentrt import events as e
from agentrt.kernel import SYSTEM, AgentrtError, Denied, Invalid, NotFound, Principal
from agentrt.messages import File, Image, Message, Text, ToolCall, ToolResult, says
from agentrt.providers import Price
from agentrt.runs import LiveRun, StartRun
from agentrt.tools import CallContext
from fixtures.house import Held, HeldTool, House, Houses, answers, breaks, calls

pytestmark = pytest.mark.anyio

PRICE = Price(input=100_000.0, output=200_000.0)
SOME_COST = 10 * 0.1 + 5 * 0.2
Code = Callable[[Principal], Awaitable[object]]


def code_of(houses: Houses, code: Code) -> None:
    """A tool whose call is this code, which acts as the run that calls it."""

    async def handler(call: ToolCall, ctx: CallContext) -> str:
        try:
            return str(await code(replace(ctx.who, run=ctx.run_id)))
        except (AssertionError, pytest.fail.Exception) as exc:
            raise RuntimeError(str(exc)) from exc

    houses.tools.add("code", handler)


async def ask(house: House, who: Principal, text: str = "help me", **wanted: object) -> str:
    """What a child is answered; its id is told by `children_of`."""
    messages = wanted.pop("messages", (says("user", text),))
    live = await house.runs.start(who, StartRun(messages=messages, **wanted))
    items = await house.ended(live)
    end = items[-1].event
    return end.code if isinstance(end, e.RunFailed) else "".join(i.event.text for i in items if isinstance(i.event, e.FinalText))


async def refusal(house: House, who: Principal, **wanted: object) -> AgentrtError:
    with pytest.raises(AgentrtError) as caught:
        await ask(house, who, **wanted)
    return caught.value


async def told(house: House, run_id: str) -> list[e.ChildSpent]:
    return [event for event in await house.events(run_id) if isinstance(event, e.ChildSpent)]


async def test_code_asks_a_model_and_its_run_pays(houses_on_each: Houses) -> None:
    houses = houses_on_each
    houses.prices |= {"acme/*": PRICE}
    houses.model.will(calls(("code", "{}"), by="acme/a"), answers("from the child", by="acme/a"), answers("done", by="acme/a"))
    async with houses.open() as house:
        code_of(houses, lambda who: ask(house, who))
        live = await house.run()
        (spent,) = await told(house, live.id)
        child, parent = await house.runs.get(SYSTEM, spent.child_run_id), await house.runs.get(SYSTEM, live.id)
        assert (child.parent_run_id, child.agent, child.status, child.output.text) == (
            live.id,
            "default",
            "completed",
            "from the child",
        )
        assert child.session_id != parent.session_id
        assert (spent.calls, spent.usage.total, spent.cost_usd) == (1, 15, pytest.approx(SOME_COST))
        assert parent.cost_usd == pytest.approx(3 * SOME_COST)
        assert parent.usage.total_tokens == 45
        # the child had no prompt, no tools of ours, and nothing of the conversation
        asked = houses.model.asks[1]
        assert (asked.system, asked.tools, [m.text for m in asked.messages]) == ((), (), ["help me"])


@pytest.mark.parametrize(
    ("budget", "told_of"),
    [("cost: 3.5", "cost"), ("tokens: 25", "tokens"), ("steps: 2", "steps")],
)
async def test_a_budget_is_kept_while_the_tool_call_runs(houses: Houses, budget: str, told_of: str) -> None:
    """The first child takes what is left; the second is refused, and the run ends at its own next call."""
    houses.prices |= {"acme/*": PRICE, "offline/*": PRICE}
    houses.agent("default", f"tools: ['*']\nbudgets: {{{budget}}}")
    houses.model.will(calls(("code", "{}"), by="acme/a"), answers("one", by="acme/a"))
    refused: list[AgentrtError] = []
    async with houses.open() as house:

        async def twice(who: Principal) -> None:
            assert await ask(house, who) == "one"
            refused.append(await refusal(house, who))

        code_of(houses, twice)
        live = await house.run()
        assert (refused[0].kind, refused[0].code) == ("exhausted", "budget_exceeded")
        assert told_of in refused[0].message
        (ended,) = [event for event in await house.events(live) if isinstance(event, e.BudgetExceeded)]
        assert ended.budget == told_of
        assert len(houses.model.asks) == 2


async def test_children_at_once_share_what_is_left(houses: Houses) -> None:
    houses.agent("default", "tools: ['*']\nbudgets: {steps: 4}")
    held = [Held(), Held(), Held()]
    houses.model.will(calls(("code", "{}")), *held)
    async with houses.open() as house:

        async def three_and_one(who: Principal) -> None:
            async with asyncio.TaskGroup() as group:
                for _ in held:
                    group.create_task(ask(house, who))
                for one in held:
                    await one.showing.wait()
                assert (await refusal(house, who)).code == "budget_exceeded"
                for one in held:
                    one.go.set()

        code_of(houses, three_and_one)
        live = await house.run()
        assert len(await told(house, live.id)) == 3


async def test_only_so_many_go_on_at_once(houses: Houses) -> None:
    held = [Held() for _ in range(16)]
    houses.model.will(calls(("code", "{}")), *held)
    async with houses.open(max_active=1) as house:  # they have their places within their parent's

        async def many(who: Principal) -> None:
            async with asyncio.TaskGroup() as group:
                for one in held:
                    group.create_task(ask(house, who))
                    await one.showing.wait()
                error = await refusal(house, who)
                assert (error.code, error.retry_after_s) == ("too_many_calls", 1)
                for one in held:
                    one.go.set()

        code_of(houses, many)
        await house.run()


async def test_cancelling_the_parent_ends_its_children(houses: Houses) -> None:
    held, tool = Held("half"), HeldTool()
    houses.model.will(calls(("code", "{}")), held)
    children: list[str] = []
    async with houses.open() as house:

        async def and_stay(who: Principal) -> None:
            children.append((await house.runs.start(who, StartRun(messages=(says("user", "x"),)))).id)
            tool.entered.set()
            await tool.go.wait()

        code_of(houses, and_stay)
        live = await house.start()
        await tool.entered.wait()
        await held.showing.wait()
        await house.runs.cancel(SYSTEM, live.id)
        await held.closed.wait()
        await house.until(children[0], e.RunCancelled)
        assert (await house.runs.get(SYSTEM, children[0])).status == "cancelled"
        cancelled = [event for event in await house.events(children[0]) if isinstance(event, e.CancelRequested)]
        assert [event.reason for event in cancelled] == ["parent_ended"]
        await house.until(live.id, e.ChildSpent)  # what it took is told, behind the end


async def test_what_outlives_its_tool_call_ends_with_the_run(houses: Houses) -> None:
    held = Held()
    houses.model.will(calls(("code", "{}")), held, answers("done"))
    children: list[str] = []
    async with houses.open() as house:

        async def leaves_one(who: Principal) -> None:
            children.append((await house.runs.start(who, StartRun(messages=(says("user", "x"),)))).id)
            await held.showing.wait()

        code_of(houses, leaves_one)
        await house.run()
        await house.until(children[0], e.RunCancelled)


async def test_nobody_acts_for_a_run_that_has_ended_or_is_another_tenants(houses: Houses) -> None:
    tool = HeldTool()
    houses.model.will(calls(("code", "{}")))
    async with houses.open() as house:

        async def stay(who: Principal) -> None:
            tool.entered.set()
            await tool.go.wait()

        code_of(houses, stay)
        live = await house.start()
        await tool.entered.wait()
        stranger = Principal(tenant="other", run=live.id)
        assert isinstance(await refusal(house, stranger), Denied)
        tool.go.set()
        await house.ended(live)
        await house.runs.record(SYSTEM, live.id, [e.EgressRequested(upstream="echo", method="GET")])  # by now it is over
        error = await refusal(house, Principal(run=live.id))
        assert (type(error), error.code) == (Denied, "run_ended")
        assert isinstance(await refusal(house, Principal(run="run_" + "0" * 32)), Denied)


async def test_models_outside_the_chain_are_not_there(houses: Houses) -> None:
    houses.agent("default", "tools: ['*']\nbudgets: {steps: 9}")
    houses.model.will(calls(("code", "{}")))
    errors: list[AgentrtError] = []
    async with houses.open() as house:

        async def tries(who: Principal) -> None:
            errors.append(await refusal(house, who, model="openai/gpt-5.5"))
            # nor do other agents lend it theirs
            assert await ask(house, who, agent="nobody", passthrough=True) == "done"

        code_of(houses, tries)
        await house.run()
        assert errors[0].kind in ("not_found", "invalid")


async def test_code_reaches_no_session_and_no_conversation_but_its_own(houses: Houses) -> None:
    """The transcript of another run is not continued, whatever id is answered; that of a sibling is."""
    wanted = e.CallerAsk(tools=(e.CallerTool(name="pick"),))
    houses.model.will(calls(("pick", "{}"), text="a secret"))
    async with houses.open() as house:
        asked: list[Message] = []

        async def tries(who: Principal) -> None:
            assert (await refusal(house, who, messages=tuple(asked))).code == "call_unknown"
            live = await house.runs.start(who, StartRun(messages=(says("user", "x"),), ask=wanted, session_id="chosen"))
            await house.ended(live)
            assert await ask(house, who, messages=(await answer_to(live),)) == "continued"
            asked.clear()

        async def answer_to(live: LiveRun) -> Message:
            (call,) = [
                c for event in await house.events(live) if isinstance(event, e.ModelCompleted) for c in event.message.calls
            ]
            return Message("tool", (ToolResult(call.id, (Text("x"),)),))

        code_of(houses, tries)
        asked.append(await answer_to(await house.run("for somebody else", ask=wanted)))
        houses.model.will(calls(("code", "{}")), calls(("pick", "{}"), text="sibling"), answers("continued"))
        await house.run()
        assert asked == []
        with pytest.raises(NotFound):
            await house.sessions.find(SYSTEM, "chosen")


@pytest.mark.parametrize(
    "part",
    [Image(url="https://example.com/?q=what-i-know"), Image(file="file_1"), File(file="file_1"), Image(url="")],
    ids=["address", "stored image", "stored file", "nothing"],
)
async def test_nothing_is_fetched_or_read_for_code(houses: Houses, part: Image | File) -> None:
    houses.model.will(calls(("code", "{}")))
    async with houses.open() as house:

        async def tries(who: Principal) -> None:
            for messages in ((Message("user", (part,)),), (Message("tool", (ToolResult("call_1", (part,)),)),)):
                error = await refusal(house, who, messages=messages)
                assert (type(error), error.code) == (Invalid, "not_data")

        code_of(houses, tries)
        live = await house.run()
        assert "ToolFailed" not in [type(event).__name__ for event in await house.events(live)]


async def test_keys_of_idempotency_are_each_runs_own(houses: Houses) -> None:
    houses.model.will(answers("of a person"), calls(("code", "{}")), answers("of code"))
    said: list[str] = []
    async with houses.open() as house:

        async def tries(who: Principal) -> None:
            said.append(await ask(house, who, idempotency_key="k", body_hash="b"))
            said.append(await ask(house, who, idempotency_key="k", body_hash="b"))

        code_of(houses, tries)
        await house.run(idempotency_key="k", body_hash="b")
        live = await house.run()
        assert said == ["of code", "of code"]
        assert len(await told(house, live.id)) == 1


async def test_a_child_that_fails_is_paid_for_too(houses: Houses) -> None:
    houses.model.will(calls(("code", "{}")), breaks("server_error", after="I was about to"))
    async with houses.open() as house:
        code_of(houses, lambda who: ask(house, who))
        live = await house.run()
        (spent,) = await told(house, live.id)
        assert spent.calls == 1
        assert spent.usage.output > 0


async def test_an_unknown_price_stops_code_with_a_cost_budget(houses: Houses) -> None:
    houses.agent("default", "tools: ['*']\nbudgets: {cost: 100}")
    houses.prices |= {"acme/*": PRICE}
    houses.model.will(calls(("code", "{}"), by="acme/a"), answers("one", by="nobody/knows"))
    async with houses.open() as house:

        async def twice(who: Principal) -> None:
            await ask(house, who)
            assert (await refusal(house, who)).code == "price_unknown"

        code_of(houses, twice)
        live = await house.run()
        assert (await house.runs.get(SYSTEM, live.id)).error.code == "price_unknown"


async def test_after_a_crash_the_parent_learns_what_children_took_and_no_child_is_asked_again(houses: Houses) -> None:
    houses.agent("default", "tools: ['*']\nsandbox: {models: true}")
    tool = HeldTool()
    houses.model.will(calls(("code", "{}")), answers("one"), Held("half"))
    children: list[str] = []
    async with houses.open() as house:

        async def and_stay(who: Principal) -> None:
            for _ in range(2):
                live = await house.runs.start(who, StartRun(messages=(says("user", "x"),)))
                children.append(live.id)
                if len(children) == 1:
                    await house.ended(live)
            await house.until(children[1], e.ModelStarted)
            tool.entered.set()
            await tool.go.wait()

        code_of(houses, and_stay)
        live = await house.start()
        await tool.entered.wait()
        await house.until(live.id, e.ChildSpent)
        # as if the server had died before it could write that
        async with house.db.write() as conn:
            await conn.exec_driver_sql(
                "DELETE FROM run_events WHERE run_id = ? AND seq > ? AND body LIKE '%child_spent%'", (live.id, 0)
            )
    houses.model.will(answers("done"))
    async with houses.open() as house:
        await house.until(live.id, e.RunCompleted)
        assert {spent.child_run_id: spent.calls for spent in await told(house, live.id)} == {children[0]: 1, children[1]: 1}
        assert [(await house.runs.get(SYSTEM, child)).status for child in children] == ["completed", "failed"]
        assert (await house.runs.get(SYSTEM, children[1])).error.code == "not_recovered"
        assert isinstance((await refusal(house, Principal(run=live.id))), Denied)


async def test_facts_that_others_saw_join_the_log_without_disturbing_the_run(houses: Houses) -> None:
    houses.model.will(calls(("code", "{}")))
    seen = e.EgressRequested(upstream="echo", method="GET", path="/x", status=200)
    async with houses.open() as house:

        async def looks(who: Principal) -> None:
            await house.runs.record(who, who.run, [seen])

        code_of(houses, looks)
        live = await house.run()
        await house.runs.record(SYSTEM, live.id, [seen])
        events = await house.events(live)
        assert [event for event in events if isinstance(event, e.EgressRequested)] == [seen, seen]
        assert (await house.runs.get(SYSTEM, live.id)).status == "completed"
        with pytest.raises(NotFound):
            await house.runs.record(Principal(tenant="other"), live.id, [seen])
