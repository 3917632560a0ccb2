"""What a run is, as a fold over what happened to it. Pure: no clock, no I/O."""

from collections.abc import Iterable, Sequence
from typing import Literal, assert_never

import msgspec
from msgspec.structs import replace

from agentrt import events as e
from agentrt.agents import Effect
from agentrt.messages import ToolCall, Usage

Status = Literal["queued", "running", "paused_checkpoint", "completed", "failed", "cancelled"]
ENDED: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})
CallStage = Literal["new", "started", "finished"]


class Call(msgspec.Struct, frozen=True):
    """A tool call of the newest model message: how far it is, which process began it as having which effect, how often.
    `lost` is the stable word for why no answer came."""

    call: ToolCall
    stage: CallStage = "new"
    boot: str = ""
    effect: Effect = "unsafe"
    attempts: int = 0
    failed: bool = False
    lost: str = ""


class OpenModelCall(msgspec.Struct, frozen=True):
    """A model call without an outcome. `asked` is the `provider/model` that came after another one failed."""

    step: int
    boot: str
    asked: str = ""


class RunState(msgspec.Struct, frozen=True):
    """`at` is when the run began, in microseconds; `calls` are those of the newest model message, in its order. `child_calls`
    are the model calls of children."""

    run_id: str
    seq: int
    at: int
    accepted: e.RunQueued | e.RunStarted
    transcript: e.Transcript
    status: Status = "running"
    step: int = 0
    open_model_call: OpenModelCall | None = None
    offered: frozenset[str] = frozenset()
    calls: dict[str, Call] = {}
    tool_calls: int = 0
    child_calls: int = 0
    spent: e.Spending = e.Spending()
    stop: str = ""
    failure: e.ModelFailed | None = None
    cancel: str = ""
    error: str = ""

    @property
    def started(self) -> e.RunStarted:
        assert isinstance(self.accepted, e.RunStarted), "the run has not begun"
        return self.accepted

    @property
    def usage(self) -> Usage:
        return self.spent.usage

    @property
    def steps(self) -> int:
        """Model calls, those of children included."""
        return self.step + self.child_calls

    @property
    def caller_tools(self) -> frozenset[str]:
        return frozenset(tool.name for tool in self.accepted.ask.tools)

    @property
    def answered(self) -> bool:
        """Whether the newest message is the model's, with no call of it left open."""
        produced = self.transcript.produced
        return bool(produced) and produced[-1].role == "assistant" and not self.calls


def fold(records: Sequence[e.Record]) -> RunState:
    """The state after the whole log so far."""
    first = records[0]
    event = first.event
    assert isinstance(event, e.RunQueued | e.RunStarted), "a log begins with run_queued or run_started"
    status: Status = "queued" if isinstance(event, e.RunQueued) else "running"
    state = RunState(first.run_id, first.seq, first.at, event, e.Transcript().apply(event), status)
    if isinstance(event, e.RunStarted) and event.only is not None:
        call = event.only.call
        state = replace(state, calls={call.id: Call(call)}, offered=frozenset((call.name,)))
    return advance(state, records[1:])


def advance(state: RunState, records: Iterable[e.Record]) -> RunState:
    """The state after a few more records."""
    seq = state.seq
    for record in records:
        state, seq = _apply(state, record), record.seq
    return replace(state, seq=seq) if seq != state.seq else state


def _apply(state: RunState, record: e.Record) -> RunState:
    event = record.event
    match event:
        case e.ModelStarted(step=step, boot=boot, tools=tools):
            return replace(
                state,
                step=step,
                open_model_call=OpenModelCall(step, boot),
                offered=frozenset(tools),
                calls={},
                failure=None,
            )
        case e.FinalText():
            return state
        case e.RunCompleted():
            return replace(state, status="completed")
        case e.ModelCompleted() | e.ModelFailed() | e.TextDiscarded() | e.ModelRetrying() | e.ChildSpent():
            return _apply_model(state, event)
        case e.ToolStarted() | e.ToolCompleted() | e.ToolFailed():
            return _apply_tool(state, event)
        case e.RunQueued():
            raise AssertionError("a run is accepted once")
        case e.RunStarted():
            return replace(state, accepted=event, status="running", at=record.at, transcript=state.transcript.apply(event))
        case e.MessageAdded():
            return replace(state, transcript=state.transcript.apply(event), calls={})
        case e.CancelRequested(reason=reason):
            return replace(state, cancel=state.cancel or reason)
        case e.CheckpointRequired():
            return replace(state, status="paused_checkpoint")
        case e.CheckpointResolved():
            return replace(state, status="running")
        case e.RunFailed(code=code):
            return replace(state, status="failed", error=code)
        case e.RunCancelled():
            return replace(state, status="cancelled")
        case e.ToolStdout() | e.ToolStderr() | e.ArtifactCreated() | e.EgressRequested() | e.BudgetExceeded():
            return state
        case _:
            assert_never(event)


def _apply_model(
    state: RunState, event: e.ModelCompleted | e.ModelFailed | e.TextDiscarded | e.ModelRetrying | e.ChildSpent
) -> RunState:
    match event:
        case e.ModelCompleted(message=message, stop=stop):
            return replace(
                state,
                open_model_call=None,
                transcript=state.transcript.apply(event),
                calls={call.id: Call(call) for call in message.calls},
                spent=state.spent.plus(event),
                stop=stop,
            )
        case e.ModelFailed():
            return replace(state, open_model_call=None, spent=state.spent.plus(event), failure=event)
        case e.TextDiscarded():
            return replace(state, failure=None)
        case e.ModelRetrying():
            call = state.open_model_call
            if call is not None and event.next:
                call = replace(call, asked=event.next)
            return replace(state, spent=state.spent.plus(event), open_model_call=call)
        case e.ChildSpent(calls=calls):
            return replace(state, spent=state.spent.plus(event), child_calls=state.child_calls + calls)


def _apply_tool(state: RunState, event: e.ToolStarted | e.ToolCompleted | e.ToolFailed) -> RunState:
    match event:
        case e.ToolStarted(call=call, boot=boot, effect=effect):
            known = state.calls[call.id]
            begun = replace(known, stage="started", boot=boot, effect=effect, attempts=known.attempts + 1)
            again = known.attempts > 0
            return replace(state, calls={**state.calls, call.id: begun}, tool_calls=state.tool_calls + (0 if again else 1))
        case e.ToolCompleted(call_id=call_id, result=result) | e.ToolFailed(call_id=call_id, result=result):
            lost = event.reason if isinstance(event, e.ToolFailed) else ""
            ended = replace(state.calls[call_id], stage="finished", failed=result.is_error, lost=lost)
            return replace(state, calls={**state.calls, call_id: ended}, transcript=state.transcript.apply(event))
