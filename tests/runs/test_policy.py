"""What a run does next: tables of logs and commands. No clock, no database, no model."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from agentrt import events as e
from agentrt.agents import Budgets, Mode
from agentrt.messages import Message, Text, ToolCall, ToolResult, Usage, says
from agentrt.runs import policy as p
from agentrt.runs.state import RunState, advance, fold

ME, BEFORE = "boot_me", "boot_before"
WEATHER = e.CallerAsk(tools=(e.CallerTool(name="weather"),))
TOOLS = ("look", "pay", "note", "finish_task")


def started(mode: Mode = "interactive", ask: e.CallerAsk = WEATHER) -> e.RunStarted:
    return e.RunStarted(
        tenant="default",
        agent="a",
        agent_version="v",
        model="m",
        provider="p",
        mode=mode,
        input=(says("user", "go"),),
        ask=ask,
    )


def asked(step: int = 1, boot: str = ME) -> e.ModelStarted:
    return e.ModelStarted(step=step, model="m", boot=boot, tools=TOOLS)


def said(text: str, step: int = 1, stop: str = "stop", tokens: int = 10) -> e.ModelCompleted:
    return e.ModelCompleted(step=step, message=says("assistant", text), usage=Usage(tokens, 0), stop=stop)


def call(id_: str, name: str) -> ToolCall:
    return ToolCall(id_, name)


def calls(*wanted: ToolCall, step: int = 1, text: str = "") -> e.ModelCompleted:
    parts = (*((Text(text),) if text else ()), *wanted)
    return e.ModelCompleted(step=step, message=Message("assistant", parts), usage=Usage(10, 0), stop="tool_calls")


def begun(of: ToolCall, effect: str = "unsafe", boot: str = ME, attempt: int = 1) -> e.ToolStarted:
    return e.ToolStarted(call=of, step=1, effect=effect, boot=boot, attempt=attempt)  # type: ignore[arg-type]


def answered(of: ToolCall, text: str = "ok", is_error: bool = False) -> e.ToolCompleted:
    return e.ToolCompleted(call_id=of.id, name=of.name, result=ToolResult(of.id, (Text(text),), is_error=is_error))


def failed(of: ToolCall, reason: str = "timeout") -> e.ToolFailed:
    return e.ToolFailed(call_id=of.id, name=of.name, reason=reason, result=ToolResult(of.id, (Text("no"),), is_error=True))


def after(*events: e.StoredEvent) -> RunState:
    return fold([e.Record("run_a", seq, seq * 1_000_000, event) for seq, event in enumerate(events, 1)])


def decide(events: Sequence[e.StoredEvent], budgets: Budgets | None = None, now_s: float = 100.0) -> tuple[p.Command, ...]:
    effects = {"look": "read", "note": "idempotent", "pay": "unsafe", "finish_task": "read"}
    facts = p.Facts(ME, int(now_s * 1e6), budgets or Budgets(), effects)  # type: ignore[arg-type]
    return p.decide(after(*events), facts)


def priced(cost_usd: float | None) -> e.ModelCompleted:
    return replace(calls(LOOK), cost_usd=cost_usd)


LOOK, PAY, NOTE = call("1", "look"), call("2", "pay"), call("3", "note")
SUN, FINISH, GHOST = call("4", "weather"), call("5", "finish_task"), call("6", "ghost")
UNKNOWN = "There is no tool 'ghost'. Tools: finish_task, look, note, pay."
UNPRICED = p.Fail("price_unknown", "a model call of this run has no known price, so its cost budget cannot be kept")
LOST = "The server stopped while this tool ran. Whether it took effect is unknown; it was not made again."

TABLE: dict[str, tuple[list[e.StoredEvent], tuple[p.Command, ...]]] = {
    "a run begins by asking the model": ([started()], (p.CallModel(1),)),
    "a queued run waits for its turn": (
        [e.RunQueued(tenant="t", agent="a", agent_version="v", model="m", provider="p", reason="session_busy")],
        (),
    ),
    "an answer ends an interactive run": ([started(), asked(), said("Hi.")], (p.Complete("Hi.", "stop"),)),
    "a cut answer says so": ([started(), asked(), said("Hi", stop="length")], (p.Complete("Hi", "length"),)),
    "an empty answer is an answer": ([started(), asked(), said("")], (p.Complete("", "stop"),)),
    "while the model is asked, it waits": ([started(), asked()], (p.Wait(),)),
    "a model call of a dead process is closed": ([started(), asked(boot=BEFORE)], (p.AbandonModelCall(1),)),
    "and then made again": (
        [
            started(),
            asked(boot=BEFORE),
            e.ModelFailed(step=1, code="interrupted", message="", interrupted=True),
            e.TextDiscarded(step=1, reason="server_stopped"),
        ],
        (p.CallModel(2),),
    ),
    "a model that fails ends the run": (
        [started(), asked(), e.ModelFailed(step=1, code="overloaded", message="busy")],
        (p.Fail("overloaded", "busy"),),
    ),
    "every own call is made at once": (
        [started(), asked(), calls(LOOK, PAY)],
        (p.CallTool(LOOK, "read", 1), p.CallTool(PAY, "unsafe", 1)),
    ),
    "a tool that was not offered is refused": (
        [started(), asked(), calls(GHOST, LOOK)],
        (p.RefuseTool(GHOST, "unknown_tool", UNKNOWN), p.CallTool(LOOK, "read", 1)),
    ),
    "a call under way is waited for": ([started(), asked(), calls(LOOK), begun(LOOK, "read")], (p.Wait(),)),
    "a read of a dead process is made again": (
        [started(), asked(), calls(LOOK), begun(LOOK, "read", BEFORE)],
        (p.CallTool(LOOK, "read", 2),),
    ),
    "an idempotent call too, as often as it takes": (
        [started(), asked(), calls(NOTE), begun(NOTE, "idempotent", BEFORE), begun(NOTE, "idempotent", "boot_2", 2)],
        (p.CallTool(NOTE, "idempotent", 3),),
    ),
    "an unsafe one never": (
        [started(), asked(), calls(PAY), begun(PAY, "unsafe", BEFORE)],
        (p.RefuseTool(PAY, "outcome_unknown", LOST),),
    ),
    "what counts is the effect that was declared when the call began": (
        [started(), asked(), calls(PAY), begun(PAY, "read", BEFORE)],
        (p.CallTool(PAY, "read", 2),),
    ),
    "results are told to the model": ([started(), asked(), calls(LOOK), begun(LOOK), answered(LOOK)], (p.CallModel(2),)),
    "failures too": ([started(), asked(), calls(LOOK), begun(LOOK), failed(LOOK)], (p.CallModel(2),)),
    "the caller's calls end the run": ([started(), asked(), calls(SUN, text="Well")], (p.Complete("Well", "tool_calls"),)),
    "but say so where they were cut": (
        [started(), asked(), replace(calls(SUN, text="Well"), stop="length")],
        (p.Complete("Well", "length"),),
    ),
    "but not before our own are answered": ([started(), asked(), calls(SUN, LOOK)], (p.CallTool(LOOK, "read", 1),)),
    "and then they do": (
        [started(), asked(), calls(SUN, LOOK), begun(LOOK), answered(LOOK)],
        (p.Complete("", "tool_calls"),),
    ),
    "an autonomous run goes on after an answer": ([started("autonomous"), asked(), said("Hm.")], (p.GoOn(),)),
    "and asks again": (
        [started("autonomous"), asked(), said("Hm."), e.MessageAdded(message=says("user", "Go on."), reason="autonomous")],
        (p.CallModel(2),),
    ),
    "a finished task ends it with the result": (
        [started("autonomous"), asked(), calls(FINISH), begun(FINISH), answered(FINISH, "42")],
        (p.Complete("42", "stop"),),
    ),
    "one that was finished wrongly does not": (
        [started("autonomous"), asked(), calls(FINISH), begun(FINISH), answered(FINISH, "what?", is_error=True)],
        (p.CallModel(2),),
    ),
    "a cancelled run ends": (
        [started(), asked(), said("Hi."), e.CancelRequested(reason="disconnect")],
        (p.Cancel("disconnect"),),
    ),
    "the first who cancels gives the reason": (
        [started(), e.CancelRequested(reason="disconnect"), e.CancelRequested()],
        (p.Cancel("disconnect"),),
    ),
    "a cancelled run waits for its model call's outcome": ([started(), asked(), e.CancelRequested()], (p.Wait(),)),
    "or closes it where nobody will give one": ([started(), asked(boot=BEFORE), e.CancelRequested()], (p.AbandonModelCall(1),)),
    "and calls of a dead process have an outcome before it ends": (
        [started(), asked(), calls(LOOK, PAY), begun(LOOK, "read", BEFORE), e.CancelRequested()],
        (p.RefuseTool(LOOK, "outcome_unknown", LOST),),
    ),
    "so that nothing stays open": (
        [started(), asked(), calls(LOOK, PAY), begun(LOOK, "read", BEFORE), e.CancelRequested(), failed(LOOK)],
        (p.Cancel("request"),),
    ),
    "a run that waits for a person does nothing": (
        [started(), asked(), calls(PAY), e.CheckpointRequired(checkpoint_id="c")],
        (),
    ),
    "and goes on once the person decided": (
        [
            started(),
            asked(),
            calls(PAY),
            e.CheckpointRequired(checkpoint_id="c"),
            e.CheckpointResolved(checkpoint_id="c", approved=True),
        ],
        (p.CallTool(PAY, "unsafe", 1),),
    ),
    "a completed run does nothing": ([started(), asked(), said("Hi."), e.FinalText(text="Hi."), e.RunCompleted()], ()),
    "nor does a failed one": ([started(), e.RunFailed(code="x", message="x")], ()),
    "nor a cancelled one": ([started(), e.RunCancelled()], ()),
}


@pytest.mark.parametrize("story", TABLE)
def test_the_next_commands(story: str) -> None:
    events, commands = TABLE[story]
    assert decide(events) == commands


@pytest.mark.parametrize(
    ("events", "budgets", "over"),
    [
        ([started(), asked(), calls(LOOK), begun(LOOK), answered(LOOK)], Budgets(steps=1), p.StopOverBudget("steps", 1, 1)),
        ([started("autonomous"), asked(), said("Hm.")], Budgets(steps=1), p.StopOverBudget("steps", 1, 1)),
        ([started(), asked(), calls(LOOK, PAY)], Budgets(tool_calls=1), p.StopOverBudget("tool_calls", 1, 2)),
        ([started(), asked(), calls(LOOK)], Budgets(tokens=10), p.StopOverBudget("tokens", 10, 10)),
        ([started()], Budgets(seconds=50), p.StopOverBudget("seconds", 50, 99.0)),
        ([started(), asked(), priced(0.5)], Budgets(cost=0.5), p.StopOverBudget("cost", 0.5, 0.5)),
        ([started(), asked(), priced(None)], Budgets(cost=0.5), UNPRICED),
        (
            [started(), asked(), e.ModelFailed(step=1, code="budget_exceeded", message="")],
            Budgets(seconds=50),
            p.StopOverBudget("seconds", 50, 99.0),
        ),
    ],
)
def test_a_limit_that_would_be_passed_stops_the_run(
    events: list[e.StoredEvent], budgets: Budgets, over: p.StopOverBudget | p.Fail
) -> None:
    assert decide(events, budgets) == (over,)


def test_an_answer_that_is_there_is_never_withheld() -> None:
    tight = Budgets(steps=1, tool_calls=1, tokens=1, seconds=1)
    assert decide([started(), asked(), said("Hi.")], tight) == (p.Complete("Hi.", "stop"),)


def test_a_call_made_again_after_a_crash_is_counted_once() -> None:
    events = [started(), asked(), calls(LOOK), begun(LOOK, "read", BEFORE)]
    assert decide(events, Budgets(tool_calls=1)) == (p.CallTool(LOOK, "read", 2),)
    assert after(*events, begun(LOOK, "read", ME, 2)).tool_calls == 1


def test_limits_that_are_lifted_do_not_stop_anything() -> None:
    lifted = Budgets(steps=None, tool_calls=None, tokens=None, seconds=None)
    events = [started(), asked(500), calls(LOOK, step=500)]
    assert decide(events, lifted, now_s=1e9) == (p.CallTool(LOOK, "read", 1),)


def test_a_state_can_be_carried_on_from_anywhere() -> None:
    for events, _ in TABLE.values():
        records = [e.Record("run_a", seq, seq * 1_000_000, event) for seq, event in enumerate(events, 1)]
        whole = fold(records)
        for cut in range(1, len(records)):
            assert advance(fold(records[:cut]), records[cut:]) == whole
        assert whole.seq == len(records)


def test_a_run_s_time_begins_when_it_begins_not_when_it_was_queued() -> None:
    queued = e.RunQueued(tenant="t", agent="a", agent_version="v", model="m", provider="p", reason="session_busy")
    assert (after(queued).at, after(queued, started()).at) == (1_000_000, 2_000_000)
    assert after(queued, started()).status == "running"


def test_tokens_of_failed_calls_count() -> None:
    state = after(started(), asked(), e.ModelFailed(step=1, code="x", message="", usage=Usage(3, 4)))
    assert state.usage.total == 7
