"""What a run does, told by the names of everything that its log holds."""

import asyncio
import time

import pytest
from msgspec import json

from agentrt import events as e
from agentrt.kernel import SYSTEM
from agentrt.messages import Text, ToolCall, ToolResult, Usage
from agentrt.runs.output import FLUSH_S
from agentrt.tools import CallContext, Output
from fixtures.house import Houses, answers, breaks, calls, crashes, retries

pytestmark = pytest.mark.anyio

ANSWERED = ["model_completed", "final_text", "run_completed"]


async def test_an_interactive_run_ends_with_the_first_answer(houses: Houses) -> None:
    houses.model.will(answers("Hel", "lo."))
    async with houses.open() as house:
        live = await house.run("hi")
        assert await house.story(live) == ["run_started", "model_started", *ANSWERED]
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.status, view.output.text if view.output else None, view.finish_reason) == ("completed", "Hello.", "stop")
        assert (view.usage.input_tokens, view.usage.output_tokens, view.usage.total_tokens) == (10, 5, 15)
        assert house.scheduler.active == 0


async def test_a_reader_from_the_first_event_sees_the_text_as_it_comes(houses: Houses) -> None:
    houses.model.will(answers("Hel", "lo."))
    async with houses.open() as house:
        shown = await house.ended(await house.start("hi"))
        assert [item.event.text for item in shown if isinstance(item.event, e.TextDelta)] == ["Hel", "lo."]


async def test_a_tool_is_called_and_the_model_is_told_its_result(houses: Houses) -> None:
    houses.model.will(calls(("calculator", '{"expression": "2+2"}')), answers("It is 4."))
    async with houses.open() as house:
        live = await house.run("What is 2+2?")
        assert await house.story(live) == [
            "run_started",
            "model_started",
            "model_completed",
            "tool_started",
            "tool_completed",
            "model_started",
            *ANSWERED,
        ]
        told = houses.model.asks[1].messages
        assert [m.role for m in told] == ["user", "assistant", "tool"]
        result = told[2].parts[0]
        assert isinstance(result, ToolResult) and result.text == "4" and not result.is_error


async def test_parallel_tools_run_side_by_side_and_their_results_stand_in_the_order_of_the_calls(houses: Houses) -> None:
    both = asyncio.Barrier(2)
    first_may_end = asyncio.Event()

    async def slow(call: ToolCall, ctx: CallContext) -> str:
        await both.wait()
        await first_may_end.wait()
        return "slow"

    async def quick(call: ToolCall, ctx: CallContext) -> str:
        await both.wait()
        return "quick"

    houses.tools.add("slow", slow)
    houses.tools.add("quick", quick)
    houses.model.will(calls(("slow", "{}"), ("quick", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.start()
        await house.until(live.id, e.ToolCompleted)
        first_may_end.set()
        await house.ended(live)
        ended = [event.name for event in await house.events(live) if isinstance(event, e.ToolCompleted)]
        assert ended == ["quick", "slow"]
        told = [part.text for m in houses.model.asks[1].messages for part in m.parts if isinstance(part, ToolResult)]
        assert told == ["slow", "quick"]
        assert (await house.story(live))[3:5] == ["tool_started", "tool_started"]


async def test_a_tool_that_does_not_exist_is_refused_and_the_model_may_do_better(houses: Houses) -> None:
    houses.model.will(calls(("calculatr", "{}")), answers("Never mind."))
    async with houses.open() as house:
        live = await house.run()
        assert await house.story(live) == [
            "run_started",
            "model_started",
            "model_completed",
            "tool_failed",
            "model_started",
            *ANSWERED,
        ]
        failed = next(event for event in await house.events(live) if isinstance(event, e.ToolFailed))
        assert failed.reason == "unknown_tool"
        assert failed.result.text == "There is no tool 'calculatr'. Tools: calculator, clock."


async def test_the_caller_s_tool_ends_the_run_and_waits_for_the_caller(houses: Houses) -> None:
    houses.model.will(calls(("weather", '{"city": "Bern"}')))
    ask = e.CallerAsk(tools=(e.CallerTool(name="weather"),))
    async with houses.open() as house:
        live = await house.run(ask=ask)
        assert await house.story(live) == ["run_started", "model_started", *ANSWERED]
        assert (await house.runs.get(SYSTEM, live.id)).finish_reason == "tool_calls"
        assert houses.tools.made == []


async def test_own_tools_are_carried_out_before_the_caller_s_are_handed_over(houses: Houses) -> None:
    houses.model.will(calls(("weather", "{}"), ("calculator", '{"expression": "1+1"}'), text="Let me see."))
    ask = e.CallerAsk(tools=(e.CallerTool(name="weather"),))
    async with houses.open() as house:
        live = await house.run(ask=ask)
        assert await house.story(live) == [
            "run_started",
            "model_started",
            "model_completed",
            "tool_started",
            "tool_completed",
            "final_text",
            "run_completed",
        ]
        view = await house.runs.get(SYSTEM, live.id)
        assert (view.finish_reason, view.output.text if view.output else "") == ("tool_calls", "Let me see.")


async def test_an_autonomous_run_goes_on_until_it_finishes_the_task(houses: Houses) -> None:
    houses.model.will(answers("Thinking."), calls(("finish_task", '{"result": "42"}')))
    async with houses.open() as house:
        live = await house.run(mode="autonomous")
        assert await house.story(live) == [
            "run_started",
            "model_started",
            "model_completed",
            "message_added",
            "model_started",
            "model_completed",
            "tool_started",
            "tool_completed",
            "final_text",
            "run_completed",
        ]
        view = await house.runs.get(SYSTEM, live.id)
        assert view.output and view.output.text == "42"
        assert "finish_task" in [tool.id for tool in houses.model.asks[0].tools]


async def test_finishing_without_a_result_is_an_error_that_the_model_is_told(houses: Houses) -> None:
    houses.model.will(calls(("finish_task", '{"answer": 42}')), calls(("finish_task", '{"result": "42"}')))
    async with houses.open() as house:
        live = await house.run(mode="autonomous")
        view = await house.runs.get(SYSTEM, live.id)
        assert view.output and view.output.text == "42"


async def test_interactive_runs_are_not_offered_finish_task(houses: Houses) -> None:
    async with houses.open() as house:
        await house.run()
        assert "finish_task" not in [tool.id for tool in houses.model.asks[0].tools]


async def test_an_attempt_that_is_made_again_is_told(houses: Houses) -> None:
    houses.model.will(retries(answers("ok")))
    async with houses.open() as house:
        live = await house.run()
        assert await house.story(live) == ["run_started", "model_started", "model_retrying", *ANSWERED]
        (step,) = await house.runs.steps(SYSTEM, live.id)
        assert (step.type, step.status, step.attempts) == ("model", "completed", 2)


async def test_a_model_that_fails_ends_the_run_and_what_was_shown_is_kept(houses: Houses) -> None:
    houses.model.will(breaks("overloaded", after="I was abou"))
    async with houses.open() as house:
        live = await house.run()
        assert await house.story(live) == ["run_started", "model_started", "model_failed", "run_failed"]
        failed = (await house.events(live))[2]
        assert isinstance(failed, e.ModelFailed) and (failed.code, failed.text) == ("overloaded", "I was abou")
        view = await house.runs.get(SYSTEM, live.id)
        assert view.status == "failed" and view.error and view.error.code == "overloaded"


async def test_a_mistake_in_a_client_ends_the_run_and_never_hangs_it(houses: Houses) -> None:
    houses.model.will(crashes())
    async with houses.open() as house:
        live = await house.run()
        view = await house.runs.get(SYSTEM, live.id)
        assert view.error and view.error.code == "internal_error" and "LookupError" in view.error.message
        assert (await house.runs.get(SYSTEM, (await house.run()).id)).status == "completed"


async def test_a_result_that_no_log_can_hold_ends_its_run_and_no_other(houses: Houses) -> None:
    async def surrogate(call: ToolCall, ctx: CallContext) -> str:
        return "half a pair: \ud800"

    houses.tools.add("surrogate", surrogate)
    houses.model.will(calls(("surrogate", "{}")))
    async with houses.open() as house:
        live = await house.run()
        assert (await house.story(live))[-1] == "run_failed"
        assert (await house.runs.get(SYSTEM, (await house.run()).id)).status == "completed"


async def test_a_long_answer_of_a_tool_is_trimmed_and_kept_whole_as_a_file(houses: Houses) -> None:
    whole = "a" * 80_000 + "b" * 80_000

    async def talk(call: ToolCall, ctx: CallContext) -> str:
        return whole

    houses.tools.add("talk", talk)
    houses.model.will(calls(("talk", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.run()
        done = next(event for event in await house.events(live) if isinstance(event, e.ToolCompleted))
        assert len(done.result.text) < 101_000 and "60000 characters left out" in done.result.text
        file_id = done.result.text.partition("the whole output is the file ")[2].split()[0]
        blob, data = await house.blobs.get(SYSTEM, file_id)
        assert data.decode() == whole and blob.name == "output.txt"


async def test_what_a_tool_says_is_gathered_into_few_records_and_none_of_it_is_lost(houses: Houses) -> None:
    async def chatter(call: ToolCall, ctx: CallContext) -> str:
        for n in range(1000):
            await ctx.emit(Output("stdout", f"{n}\n"))
        await ctx.emit(Output("stderr", "oops\n"))
        await ctx.emit(Output("stdout", "half way", progress=1, total=2))
        return "ok"

    houses.tools.add("chatter", chatter)
    houses.model.will(calls(("chatter", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.run()
        assert (await house.story(live))[3:8] == ["tool_started", "tool_stdout", "tool_stderr", "tool_stdout", "tool_completed"]
        said = [event for event in await house.events(live) if isinstance(event, e.ToolStdout)]
        assert said[0].text == "".join(f"{n}\n" for n in range(1000))
        assert (said[1].text, said[1].progress, said[1].total) == ("half way", 1, 2)


async def test_a_flood_of_output_is_written_in_pieces_while_it_comes(houses: Houses) -> None:
    async def flood(call: ToolCall, ctx: CallContext) -> str:
        for _ in range(40):
            await ctx.emit(Output("stdout", "x" * 10_000))
        return "ok"

    houses.tools.add("flood", flood)
    houses.model.will(calls(("flood", "{}")), answers("ok"))
    began = time.monotonic()
    async with houses.open() as house:
        live = await house.run()
        said = [event.text for event in await house.events(live) if isinstance(event, e.ToolStdout)]
        assert sum(len(text) for text in said) == 400_000
        assert 5 <= len(said) <= 8 + (time.monotonic() - began) / FLUSH_S and max(len(text) for text in said) <= 70_000


async def test_arguments_that_are_no_json_are_answered_with_what_is_wrong(houses: Houses) -> None:
    houses.model.will(calls(("calculator", '{"expression": ')), answers("ok"))
    async with houses.open() as house:
        live = await house.run()
        done = next(event for event in await house.events(live) if isinstance(event, e.ToolCompleted))
        assert done.result.is_error and "not valid JSON" in done.result.text


async def test_a_tool_s_time_limit_is_told_to_the_model(houses: Houses) -> None:
    async def never(call: ToolCall, ctx: CallContext) -> str:
        await asyncio.Event().wait()
        return ""

    houses.tools.add("never", never)
    houses.agent("default", "tools: [{match: never, timeout: 0.05}]")
    houses.model.will(calls(("never", "{}")), answers("ok"))
    async with houses.open() as house:
        live = await house.run()
        failed = next(event for event in await house.events(live) if isinstance(event, e.ToolFailed))
        assert (failed.reason, failed.result.text) == ("timeout", "never gave no answer within 0.05 s")
        assert (await house.story(live))[-1] == "run_completed"


@pytest.mark.parametrize(
    ("budgets", "mode", "budget"),
    [
        ("{steps: 2}", "autonomous", "steps"),
        ("{tokens: 20}", "autonomous", "tokens"),
        ("{seconds: 0.05}", "interactive", "seconds"),
    ],
)
async def test_a_run_over_its_budget_ends_and_says_so(houses: Houses, budgets: str, mode: str, budget: str) -> None:
    async def never(ask: object):
        await asyncio.Event().wait()
        yield []

    houses.agent("default", f"budgets: {budgets}")
    if budget == "seconds":
        houses.model.will(never)
    async with houses.open() as house:
        live = await house.run(mode=mode)
        assert (await house.story(live))[-2:] == ["budget_exceeded", "run_failed"]
        exceeded = next(event for event in await house.events(live) if isinstance(event, e.BudgetExceeded))
        assert exceeded.budget == budget
        view = await house.runs.get(SYSTEM, live.id)
        assert view.error and view.error.code == "budget_exceeded"


async def test_tool_calls_over_the_budget_are_not_made(houses: Houses) -> None:
    houses.agent("default", "tools: ['*']\nbudgets: {tool_calls: 1}")
    houses.model.will(calls(("clock", "{}"), ("clock", "{}")))
    async with houses.open() as house:
        live = await house.run()
        assert await house.story(live) == ["run_started", "model_started", "model_completed", "budget_exceeded", "run_failed"]


async def test_a_picture_is_stored_once_and_the_model_gets_it_back_whole(houses: Houses) -> None:
    from agentrt.messages import Image, Message

    url = "data:image/png;base64,iVBORw0KGgo="
    message = Message("user", (Text("what is it?"), Image(url=url)))
    async with houses.open() as house:
        live = await house.run(messages=(message,))
        await house.run(messages=(message,))
        started = (await house.events(live))[0]
        assert b"iVBOR" not in json.encode(started)
        assert houses.model.asks[0].messages[0].parts[1] == Image(url=url, media_type="image/png")
        assert len([path for path in (houses.home / "files").rglob("*") if path.is_file()]) == 1


async def test_steps_are_the_calls_of_a_run_with_what_became_of_them(houses: Houses) -> None:
    houses.model.will(calls(("calculator", '{"expression": "1/0"}'), ("nothing", "{}")), answers("ok", usage=Usage(7, 2)))
    async with houses.open() as house:
        live = await house.run()
        steps = await house.runs.steps(SYSTEM, live.id)
        assert [(s.index, s.type, s.status, s.name) for s in steps] == [
            (0, "model", "completed", "offline"),
            (1, "tool", "completed", "calculator"),
            (2, "model", "completed", "offline"),
        ]
        assert steps[1].arguments == '{"expression": "1/0"}' and steps[2].usage and steps[2].usage.total_tokens == 9
