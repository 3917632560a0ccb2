"""Conversations over many runs, as the model is told them."""

import asyncio

import pytest
from sqlalchemy import text

from agentrt.agents import SessionSource
from agentrt.events import CallerAsk, CallerTool, RunStarted, ToolStarted
from agentrt.kernel import SYSTEM, Conflict, Invalid, NotFound, Principal
from agentrt.messages import Image, Message, Text, ToolCall, ToolResult, says
from agentrt.runs import RunFilter
from agentrt.sessions import CreateSession
from agentrt.tools import CallContext
from fixtures.house import Held, HeldTool, House, Houses, answers, breaks, calls

pytestmark = pytest.mark.anyio

WEATHER = CallerAsk(tools=(CallerTool(name="weather"),))


def told(houses: Houses, n: int = -1) -> list[str]:
    """What the model was told in its call number `n`."""
    out = []
    for message in houses.model.asks[n].messages:
        results = [part.text for part in message.parts if isinstance(part, ToolResult)]
        out.append(message.text or "".join(results) or ",".join(call.name for call in message.calls))
    return out


async def test_a_turn_that_sends_only_what_is_new_continues_the_conversation(houses_on_each: Houses) -> None:
    houses = houses_on_each
    houses.model.will(answers("first"), answers("second"), answers("third"))
    async with houses.open() as house:
        await house.run("one", session_id="s")
        await house.run("two", session_id="s")
        assert told(houses) == ["one", "first", "two"]
    async with houses.open() as house:
        live = await house.run("three", session_id="s")
        assert told(houses) == ["one", "first", "two", "second", "three"]
        said = await house.sessions.messages(SYSTEM, "s")
        assert [m.text for m in said] == ["one", "first", "two", "second", "three", "third"]
        assert said[-1].run_id == live.id
        session = await house.sessions.get(SYSTEM, "s")
        assert session.head_run == live.id and session.created_at < session.updated_at


async def test_a_turn_that_resends_everything_is_recorded_once(houses: Houses) -> None:
    houses.model.will(answers("first"), answers("second"))
    async with houses.open() as house:
        await house.run("one", session_id="s")
        everything = (says("user", "one"), says("assistant", "first"), says("user", "two"))
        live = await house.run(messages=everything, session_id="s")
        assert told(houses) == ["one", "first", "two"]
        started = (await house.events(live))[0]
        assert isinstance(started, RunStarted) and started.input == (says("user", "two"),)


async def test_an_edited_message_starts_a_branch_and_the_session_follows_it(houses: Houses) -> None:
    houses.model.will(answers("first"), answers("second"), answers("other"), answers("third"))
    async with houses.open() as house:
        await house.run("one", session_id="s")
        await house.run("two", session_id="s")
        await house.run(messages=(says("user", "one"), says("assistant", "first"), says("user", "TWO")), session_id="s")
        assert told(houses) == ["one", "first", "TWO"]
        await house.run("three", session_id="s")
        assert told(houses) == ["one", "first", "TWO", "other", "three"]
        assert [m.text for m in await house.sessions.messages(SYSTEM, "s")][2] == "TWO"


async def test_an_answer_can_be_asked_for_once_more(houses: Houses) -> None:
    houses.model.will(answers("so so"), answers("better"))
    request = (says("user", "start"), says("assistant", "x"), says("user", "one"))
    async with houses.open() as house:
        await house.run(messages=request, session_id="s")
        await house.run(messages=request, session_id="s")
        assert told(houses) == ["start", "x", "one"]
        assert [m.text for m in await house.sessions.messages(SYSTEM, "s")] == ["start", "x", "one", "better"]


async def test_the_model_s_own_tool_loop_is_remembered_whatever_the_client_resends(houses: Houses) -> None:
    houses.model.will(calls(("calculator", '{"expression": "1+1"}'), text="Let me see."), answers("It is 2."), answers("ok"))
    async with houses.open() as house:
        await house.run("one", session_id="s")
        shown = says("assistant", "Let me see.\n\nIt is 2.")
        await house.run(messages=(says("user", "one"), shown, says("user", "two")), session_id="s")
        assert told(houses) == ["one", "Let me see.", "2", "It is 2.", "two"]


async def test_an_answer_to_the_caller_s_tool_leads_back_to_its_run_without_any_session(houses: Houses) -> None:
    houses.model.will(calls(("weather", "{}"), ("calculator", '{"expression": "1+1"}')), answers("Sunny."))
    async with houses.open() as house:
        first = await house.run("Weather?", ask=WEATHER)
        call = await asked(house, first.session_id)
        answer = Message("tool", (ToolResult(call.id, (Text("sun"),)),))
        resent = Message("assistant", (call,))
        live = await house.run(messages=(says("user", "REWRITTEN"), resent, answer), ask=WEATHER)
        assert told(houses) == ["Weather?", "weather,calculator", "2", "sun"]
        assert live.session_id != first.session_id
        with pytest.raises(Invalid) as refused:  # nobody answers another tenant's call
            await house.run(messages=(says("user", "x"), answer), who=Principal("other"))
        assert refused.value.code == "call_unknown" and call.id in refused.value.message


async def asked(house: House, session_id: str) -> ToolCall:
    """The first call of the caller's tools in the session's newest message."""
    part = (await house.sessions.messages(SYSTEM, session_id))[-1].parts[0]
    return ToolCall(part.id, part.name, part.arguments)  # type: ignore[union-attr]


async def test_all_calls_of_a_message_must_be_answered(houses: Houses) -> None:
    houses.model.will(calls(("weather", "{}"), ("weather", "{}")))
    async with houses.open() as house:
        first = await house.run("Weather?", ask=WEATHER)
        one = (await asked(house, first.session_id)).id
        with pytest.raises(Invalid) as refused:
            await house.start(messages=(Message("tool", (ToolResult(one, (Text("sun"),)),)),), ask=WEATHER)
        assert refused.value.code == "calls_unanswered" and one not in refused.value.message


async def test_a_run_that_named_no_session_is_continued_by_the_one_it_was_given(houses_on_each: Houses) -> None:
    houses = houses_on_each
    houses.model.will(answers("first"), answers("second"), answers("third"))
    async with houses.open() as house:
        first = await house.run("one")
        assert first.session_id == "sess_" + first.id.removeprefix("run_")
        assert (await house.sessions.get(SYSTEM, first.session_id)).head_run == first.id
        second = await house.run("two", session_id=first.session_id)
        assert second.session_id == first.session_id
        await house.run("three", session_id=first.session_id)
        assert told(houses) == ["one", "first", "two", "second", "three"]
        with pytest.raises(NotFound):
            await house.sessions.get(Principal("other"), first.session_id)


async def test_a_run_s_own_session_is_continued_also_by_one_that_must_wait_for_it(houses_on_each: Houses) -> None:
    houses, held = houses_on_each, Held("first")
    houses.model.will(held, answers("second"))
    async with houses.open() as house:
        first = await house.start("one")
        await held.showing.wait()
        second = await house.start("two", session_id=first.session_id)
        assert (await house.sessions.get(SYSTEM, first.session_id)).head_run == first.id
        held.go.set()
        await house.ended(second)
        assert told(houses) == ["one", "first", "two"]


async def test_a_user_s_turns_are_one_session_until_it_was_idle_for_too_long(houses: Houses) -> None:
    houses.agent("default", "session: {from: [user], idle_timeout: 3600}")
    by: dict[str, SessionSource] = {"session_source": "user"}
    async with houses.open() as house:
        first = await house.run("one", session_id="ann", **by)
        second = await house.run("two", session_id="ann", **by)
        bob = await house.run("one", session_id="bob", **by)
        assert first.session_id == second.session_id != bob.session_id
        async with house.db.write() as conn:
            await conn.execute(text("UPDATE sessions SET updated_at = updated_at - 3601000000"))
        third = await house.run("three", session_id="ann", **by)
        assert third.session_id != first.session_id
        assert told(houses) == ["three"]


async def test_two_quick_turns_of_a_user_are_one_session_even_when_both_must_wait(houses: Houses) -> None:
    by: dict[str, SessionSource] = {"session_source": "user"}
    held = Held("busy")
    houses.model.will(held, answers("first"), answers("second"))
    async with houses.open(max_active=1) as house:
        await house.start("other")
        await held.showing.wait()
        first, second = await asyncio.gather(
            house.start("one", session_id="ann", **by), house.start("two", session_id="ann", **by)
        )
        assert first.session_id == second.session_id
        held.go.set()
        await house.ended(second)
        assert told(houses) == ["one", "first", "two"]


async def test_long_names_of_users_are_not_confused(houses: Houses) -> None:
    by: dict[str, SessionSource] = {"session_source": "user"}
    async with houses.open() as house:
        ann = await house.run("one", session_id="x" * 400 + "ann", **by)
        bob = await house.run("one", session_id="x" * 400 + "bob", **by)
        assert ann.session_id != bob.session_id


async def test_tenants_may_use_the_same_name(houses_on_each: Houses) -> None:
    houses = houses_on_each
    async with houses.open() as house:
        await house.run("mine", session_id="s")
        await house.run("theirs", who=Principal("other"), session_id="s")
        assert told(houses) == ["theirs"]
        assert (await house.sessions.messages(SYSTEM, "s"))[0].text == "mine"


async def test_the_prompt_stays_as_it_was_when_the_session_began_while_the_agent_is_the_same(houses: Houses) -> None:
    houses.agent("default", "prompt: 'Tools: {{ tools | map(attribute=\"id\") | join(\",\") }}'\ntools: ['*']")
    async with houses.open() as house:
        await house.run("one", session_id="s")
        first = houses.model.asks[-1].system
        houses.tools.add("new", HeldTool())
    async with houses.open() as house:
        await house.run("two", session_id="s")
        assert houses.model.asks[-1].system == first
        await house.run("three", session_id="t")
        assert houses.model.asks[-1].system != first
    houses.agent("default", "prompt: New.")
    async with houses.open() as house:
        await house.run("four", session_id="s")
        assert houses.model.asks[-1].system == ("New.",)


async def test_what_failed_stays_in_the_conversation_as_far_as_it_came(houses: Houses) -> None:
    houses.model.will(breaks("overloaded", after="I was"), answers("ok"))
    async with houses.open() as house:
        await house.run("one", session_id="s")
        await house.run("two", session_id="s")
        assert told(houses) == ["one", "two"]


async def test_sessions_can_be_made_by_hand_and_are_listed_by_their_last_use(houses_on_each: Houses) -> None:
    async with houses_on_each.open() as house:
        await house.sessions.create(SYSTEM, CreateSession(id="a", metadata={"k": "v"}))
        with pytest.raises(Conflict) as refused:
            await house.sessions.create(SYSTEM, CreateSession(id="a"))
        assert refused.value.code == "session_exists"
        assert not house.journal.trouble(), "a database that says no to one request answers"
        with pytest.raises(Invalid):
            await house.sessions.create(SYSTEM, CreateSession(id="no spaces"))
        made = await house.sessions.create(SYSTEM, CreateSession())
        await house.run("b", session_id="b")
        await house.run("a", session_id="a")
        page = await house.sessions.list(SYSTEM, 2, "desc", None, None)
        assert ([v.id for v in page.data], page.has_more) == (["a", "b"], True)
        page = await house.sessions.list(SYSTEM, 2, "desc", page.last_id, None)
        assert ([v.id for v in page.data], page.has_more) == ([made.id], False)
        page = await house.sessions.list(SYSTEM, 5, "asc", None, "a")
        assert [v.id for v in page.data] == [made.id, "b"]
        page = await house.sessions.list(SYSTEM, 1, "desc", None, made.id)
        assert ([v.id for v in page.data], page.has_more) == (["b"], True)
        assert (await house.sessions.get(SYSTEM, "a")).metadata == {"k": "v"}
        assert (await house.sessions.list(Principal("other"), 5, "desc", None, None)).data == []
        with pytest.raises(Invalid):
            await house.sessions.list(SYSTEM, 5, "desc", "nobody", None)


async def everything_of(house: House, live_id: str) -> list[int]:
    """How many events, runs, files and keys are left of a run."""
    async with house.db.read() as conn:
        counts = []
        for table, column in (("run_events", "run_id"), ("runs", "id"), ("files", "run_id"), ("idempotency_keys", "run_id")):
            query = text(f"SELECT count(*) FROM {table} WHERE {column} = :id")
            counts.append(await conn.scalar(query, {"id": live_id}) or 0)
    return counts


async def test_erasing_leaves_nothing_in_the_database_and_nothing_on_the_disk(houses_on_each: Houses) -> None:
    houses = houses_on_each
    picture = Message("user", (Text("?"), Image(url="data:image/png;base64,iVBORw0KGgo=")))
    async with houses.open() as house:
        live = await house.run(messages=(picture,), session_id="s", idempotency_key="runs:k", body_hash="a" * 64)
        other = await house.run("keep", session_id="t")
        assert all(await everything_of(house, live.id))
        with pytest.raises(NotFound):
            await house.runs.erase_session(Principal("other"), "s", force=True)
        await house.runs.erase_session(SYSTEM, "s", force=False)
        assert await everything_of(house, live.id) == [0, 0, 0, 0]
        assert [path for path in (houses.home / "files").rglob("*") if path.is_file()] == []
        with pytest.raises(NotFound):
            await house.sessions.get(SYSTEM, "s")
        assert (await house.runs.get(SYSTEM, other.id)).status == "completed"
        await house.run("anew", session_id="s")
        assert told(houses) == ["anew"]


async def test_a_run_s_own_session_is_erased_with_it(houses: Houses) -> None:
    async with houses.open() as house:
        live = await house.run("one")
        await house.runs.erase_session(SYSTEM, live.session_id, force=False)
        assert await everything_of(house, live.id) == [0, 0, 0, 0]
        with pytest.raises(NotFound):
            await house.sessions.get(SYSTEM, live.session_id)


async def test_a_live_session_is_erased_by_force_only(houses: Houses) -> None:
    held = Held("working")
    houses.model.will(held)
    async with houses.open() as house:
        live = await house.start("one", session_id="s")
        waiting = await house.start("two", session_id="s")
        await held.showing.wait()
        with pytest.raises(Conflict) as refused:
            await house.runs.erase_session(SYSTEM, "s", force=False)
        assert refused.value.code == "session_busy"
        await house.runs.erase_session(SYSTEM, "s", force=True)
        assert held.closed.is_set()
        assert await everything_of(house, live.id) == [0, 0, 0, 0]
        assert await everything_of(house, waiting.id) == [0, 0, 0, 0]
        assert (house.scheduler.active, house.scheduler.queued) == (0, 0)


@pytest.mark.parametrize("source", ["header", "user"])
async def test_a_turn_that_comes_while_its_session_is_deleted_begins_anew(houses_on_each: Houses, source: SessionSource) -> None:
    houses = houses_on_each
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def slow_to_end(call: ToolCall, ctx: CallContext) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await cleaned.wait()
        return ""

    houses.tools.add("tool", slow_to_end)
    houses.model.will(answers("one"), calls(("tool", "{}")), answers("anew"))
    async with houses.open() as house:
        await house.run("first", session_id="s", session_source=source)
        live = await house.start("second", session_id="s", session_source=source)
        await house.until(live.id, ToolStarted)
        async with asyncio.TaskGroup() as group:
            erasing = group.create_task(house.runs.erase_session(SYSTEM, live.session_id, force=True))
            await cleaning.wait()
            turn = group.create_task(house.start("third", session_id="s", session_source=source))
            await house.runs.list(SYSTEM, RunFilter())  # time enough to begin, if nothing held it
            cleaned.set()
        assert erasing.done()
        begun = turn.result()
        await house.ended(begun)
        assert (await house.runs.get(SYSTEM, begun.id)).status == "completed"
        assert told(houses) == ["third"]
        assert [m.text for m in await house.sessions.messages(SYSTEM, begun.session_id)] == ["third", "anew"]


async def test_a_conversation_that_grew_out_of_an_erased_one_goes_on_without_it(houses: Houses) -> None:
    houses.model.will(calls(("weather", "{}")), answers("Sunny."), answers("ok"))
    async with houses.open() as house:
        first = await house.run("Weather?", ask=WEATHER, session_id="s")
        call = await asked(house, "s")
        answer = Message("tool", (ToolResult(call.id, (Text("sun"),)),))
        await house.run(messages=(answer,), ask=WEATHER, session_id="t")
        await house.runs.erase_session(SYSTEM, "s", force=False)
        await house.run("and tomorrow?", session_id="t")
        assert "Weather?" not in told(houses) and told(houses)[-1] == "and tomorrow?"
        assert await everything_of(house, first.id) == [0, 0, 0, 0]


async def test_what_a_crash_left_half_erased_can_be_erased_again(houses: Houses) -> None:
    async with houses.open() as house:
        live = await house.run("one")
        await house.journal.purge([live.id])
        await house.runs.erase_session(SYSTEM, live.session_id, force=False)
        assert await everything_of(house, live.id) == [0, 0, 0, 0]
        with pytest.raises(NotFound):
            await house.runs.erase_session(SYSTEM, live.session_id, force=False)


async def test_a_user_is_not_idle_while_a_run_goes_on(houses: Houses) -> None:
    houses.agent("default", "session: {from: [user], idle_timeout: 3600}")
    by: dict[str, SessionSource] = {"session_source": "user"}
    held = Held("working")
    houses.model.will(held)
    async with houses.open() as house:
        first = await house.start("one", session_id="ann", **by)
        await held.showing.wait()
        async with house.db.write() as conn:
            await conn.execute(text("UPDATE sessions SET updated_at = updated_at - 3601000000"))
        second = await house.start("two", session_id="ann", **by)
        assert second.session_id == first.session_id
        held.go.set()
        await house.ended(second)


async def test_pictures_of_a_request_that_was_refused_are_not_kept(houses: Houses) -> None:
    picture = Message("user", (Text("?"), Image(url="data:image/png;base64,iVBORw0KGgo=")))
    stray = Message("tool", (ToolResult("call_nowhere", (Text("42"),)),))
    async with houses.open() as house:
        with pytest.raises(Invalid):
            await house.start(messages=(picture, stray))
        broken = Message("user", (Image(url="data:image/png;base64,!!!"),))
        with pytest.raises(Invalid) as refused:
            await house.start(messages=(broken,))
        assert refused.value.code == "bad_data_url"
        assert [path for path in (houses.home / "files").rglob("*") if path.is_file()] == []
        assert house.scheduler.active == 0


@pytest.mark.parametrize("name", ["", "no spaces", "nul\x00", "x" * 129, "../x", "sess_1\n"])
async def test_what_cannot_be_a_session_is_none(houses_on_each: Houses, name: str) -> None:
    async with houses_on_each.open() as house:
        with pytest.raises(NotFound):
            await house.sessions.get(SYSTEM, name)
        with pytest.raises(NotFound):
            await house.runs.erase_session(SYSTEM, name, force=True)
        if name:
            with pytest.raises(Invalid):
                await house.runs.list(SYSTEM, RunFilter(session_id=name))
            with pytest.raises(Invalid):
                await house.sessions.list(SYSTEM, 5, "desc", name, None)
