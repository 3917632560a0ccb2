"""What a run should do next. Pure: the same state and facts always give the same commands."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from agentrt.agents import Budgets, Effect
from agentrt.events import ModelFailed
from agentrt.messages import ToolCall, ToolResult

from .state import Call, RunState

FINISH_TASK = "finish_task"
_CUT = ("length", "content_filter")  # what was being said then, calls included, may not be whole
LOST = "The server stopped while this tool ran. Whether it took effect is unknown; it was not made again."


class CallModel(msgspec.Struct, frozen=True):
    """Ask the model, as call number `step`."""

    step: int


class CallTool(msgspec.Struct, frozen=True):
    """Carry out a tool call; `attempt` counts from 1 over restarts."""

    call: ToolCall
    effect: Effect
    attempt: int


class RefuseTool(msgspec.Struct, frozen=True):
    """Answer a tool call without making it."""

    call: ToolCall
    reason: Literal["unknown_tool", "outcome_unknown"]
    text: str


class AbandonModelCall(msgspec.Struct, frozen=True):
    """Close the intent of a model call whose process died; what was shown of it is void."""

    step: int


class GoOn(msgspec.Struct, frozen=True):
    """Tell an autonomous model that its answer did not end the task."""


class StopOverBudget(msgspec.Struct, frozen=True):
    """End the run: a limit is reached."""

    budget: Literal["steps", "tool_calls", "tokens", "seconds", "cost"]
    limit: float
    spent: float


class Complete(msgspec.Struct, frozen=True):
    """End the run with an answer."""

    text: str
    finish_reason: str


class Fail(msgspec.Struct, frozen=True):
    """End the run without one."""

    code: str
    message: str
    retry_after_s: float | None = None


class Cancel(msgspec.Struct, frozen=True):
    """End the run on request."""

    reason: str


class Wait(msgspec.Struct, frozen=True):
    """Something that this process does has not ended yet."""


Command = CallModel | CallTool | RefuseTool | AbandonModelCall | GoOn | StopOverBudget | Complete | Fail | Cancel | Wait

_ASK_AGAIN = frozenset({CallModel, GoOn})
_SPEND = _ASK_AGAIN | {CallTool}


class Facts(msgspec.Struct, frozen=True):
    """What a decision may know beside the log: which process this is, the time, the pinned limits, the tools' effects."""

    boot: str
    now_us: int
    budgets: Budgets
    effects: Mapping[str, Effect] = {}


def decide(state: RunState, facts: Facts) -> tuple[Command, ...]:
    """The next commands; none once the run has ended, or waits for a person or its turn."""
    if state.status != "running":
        return ()
    if state.cancel:
        return _cancel(state, facts)
    if state.open_model_call is not None:
        mine = state.open_model_call.boot == facts.boot
        return (Wait(),) if mine else (AbandonModelCall(state.open_model_call.step),)
    if state.failure is not None:
        return (_give_up(state, state.failure, facts),)
    unfinished = [c for c in state.calls.values() if c.stage != "finished" and c.call.name not in state.caller_tools]
    commands = tuple(_advance_call(state, c, facts) for c in unfinished) or _next_turn(state)
    over = _over_budget(state, facts, commands)
    return (over,) if over else commands


def _give_up(state: RunState, failure: ModelFailed, facts: Facts) -> Command:
    if failure.code == "budget_exceeded":
        seconds = facts.budgets.seconds
        late = None if seconds is None else StopOverBudget("seconds", seconds, _seconds(state, facts))
        if over := overspent(state, facts.budgets) or late:
            return over
    return Fail(failure.code, failure.message, failure.retry_after_s)


def _next_turn(state: RunState) -> tuple[Command, ...]:
    """Every call of our own is answered: end, or ask the model again."""
    if state.started.only is not None:
        return (_end_of_call(state, state.started.only.call),)
    for call in state.calls.values():
        if call.call.name == FINISH_TASK and not call.failed:
            return (Complete(_result_text(state, call.call.id) or _answer(state), "stop"),)
    if any(c.call.name in state.caller_tools for c in state.calls.values()):
        return (Complete(_answer(state), state.stop if state.stop in _CUT else "tool_calls"),)
    if not state.answered:
        return (CallModel(state.step + 1),)
    if state.started.mode == "autonomous" and state.stop == "stop":
        return (GoOn(),)
    return (Complete(_answer(state), state.stop),)


def _end_of_call(state: RunState, call: ToolCall) -> Command:
    """How a run of one tool call ends: well if the tool answered, whatever it said."""
    lost, text = state.calls[call.id].lost, _result_text(state, call.id)
    return Fail(lost, text) if lost else Complete(text, "stop")


def _cancel(state: RunState, facts: Facts) -> tuple[Command, ...]:
    """The act under way was told; the run ends once its outcome is in the log."""
    call = state.open_model_call
    if call is not None:
        return (Wait(),) if call.boot == facts.boot else (AbandonModelCall(call.step),)
    lost = [RefuseTool(c.call, "outcome_unknown", LOST) for c in state.calls.values() if c.stage == "started"]
    return (*lost,) or (Cancel(state.cancel),)


def _advance_call(state: RunState, call: Call, facts: Facts) -> Command:
    name = call.call.name
    if call.stage == "new":
        if name not in state.offered:
            offered = ", ".join(sorted(state.offered)) or "none"
            return RefuseTool(call.call, "unknown_tool", f"There is no tool {name!r}. Tools: {offered}.")
        return CallTool(call.call, facts.effects.get(name, "unsafe"), 1)
    if call.boot == facts.boot:
        return Wait()
    if call.effect == "unsafe":  # we died between the intent and the outcome
        return RefuseTool(call.call, "outcome_unknown", LOST)
    return CallTool(call.call, call.effect, call.attempts + 1)


def _over_budget(state: RunState, facts: Facts, commands: Sequence[Command]) -> StopOverBudget | Fail | None:
    """The first limit that carrying out `commands` would pass. An answer that is there is never withheld."""
    kinds = {type(command) for command in commands}
    if kinds.isdisjoint(_SPEND):
        return None
    budgets, seconds = facts.budgets, _seconds(state, facts)
    tool_calls = state.tool_calls + sum([isinstance(c, CallTool) and c.attempt == 1 for c in commands])
    if budgets.seconds is not None and seconds >= budgets.seconds:
        return StopOverBudget("seconds", budgets.seconds, seconds)
    if budgets.tool_calls is not None and tool_calls > budgets.tool_calls:
        return StopOverBudget("tool_calls", budgets.tool_calls, tool_calls)
    if over := overspent(state, budgets):
        return over
    if budgets.steps is not None and state.steps >= budgets.steps and not kinds.isdisjoint(_ASK_AGAIN):
        return StopOverBudget("steps", budgets.steps, state.steps)
    return None


def overspent(state: RunState, budgets: Budgets) -> StopOverBudget | Fail | None:
    """The limit of what models may take that is reached, so that none may be asked again."""
    if budgets.tokens is not None and state.usage.total >= budgets.tokens:
        return StopOverBudget("tokens", budgets.tokens, state.usage.total)
    if budgets.cost is not None and state.spent.unpriced:  # the price was known when the run began
        return Fail("price_unknown", "a model call of this run has no known price, so its cost budget cannot be kept")
    if budgets.cost is not None and state.spent.known_usd >= budgets.cost:
        return StopOverBudget("cost", budgets.cost, state.spent.known_usd)
    return None


def _seconds(state: RunState, facts: Facts) -> float:
    return round((facts.now_us - state.at) / 1e6, 3)


def _answer(state: RunState) -> str:
    """The visible text of the newest model message."""
    return next((m.text for m in reversed(state.transcript.produced) if m.role == "assistant"), "")


def _result_text(state: RunState, call_id: str) -> str:
    for message in reversed(state.transcript.produced):
        for part in message.parts:
            if isinstance(part, ToolResult) and part.call_id == call_id:
                return part.text
    return ""
