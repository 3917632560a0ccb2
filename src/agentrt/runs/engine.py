"""Carries out what the policy decides, writing intents before and outcomes after."""

from collections.abc import Sequence
from itertools import count

from agentrt import events as e
from agentrt.journal import Journal
from agentrt.kernel import Clock, Conflict, Unavailable
from agentrt.messages import Text, ToolResult, says
from agentrt.tools import ToolBox

from . import policy as p
from .drive import Drive
from .model_call import ModelCaller
from .state import ENDED, RunState, advance, fold
from .tool_call import ToolCaller

_ACTS = frozenset({p.CallModel, p.CallTool})

GO_ON = "Go on with the task. When it is done, call finish_task with the result."


class Engine:
    """One loop for every run: decide, write the intents, act, write the outcomes, decide again.

    Once `stopping`, outcomes are still written, and nothing new is begun: the next start goes on from there.
    """

    def __init__(self, journal: Journal, clock: Clock, boot: str, models: ModelCaller, tools: ToolCaller, box: ToolBox) -> None:
        self._journal, self._clock, self._boot = journal, clock, boot
        self._models, self._tools, self._box = models, tools, box
        self.stopping = False

    async def begin(self, drive: Drive, run_id: str, first: e.RunQueued | e.RunStarted) -> None:
        """Write how a run begins, and the intents that follow from it, in one append; durable when it returns."""
        if isinstance(first, e.RunStarted) and first.only is not None:
            drive.offer = await self._box.offer(drive.spec, drive.who, first.mode)
        if drive.state is None:
            state, after = fold([e.Record(run_id, 1, self._clock.now_us(), first)]), 0
        else:
            state, after = self._ahead(drive.state, [first]), drive.state.seq
        await self._write(drive, state, [first], after)

    async def carry_on(self, drive: Drive) -> None:
        """Take the run as far as it goes, after `begin`."""
        while drive.acts:
            await self._settle(drive, await self._perform(drive, drive.acts))

    async def resume(self, drive: Drive) -> None:
        """Take up a run from its log alone, whatever another process left behind."""
        drive.offer = await self._box.offer(drive.spec, drive.who, drive.known.accepted.mode)
        await self._settle(drive, [])
        await self.carry_on(drive)

    async def _settle(self, drive: Drive, outcomes: list[e.StoredEvent]) -> None:
        """Write outcomes and what follows from them. While the database refuses they are held: none is forgotten."""
        moved = False
        for attempt in count(1):
            try:
                if moved:
                    outcomes, moved = await drive.catch_up(outcomes), False
                state = drive.known
                if self.stopping:
                    drive.acts = ()
                    return await drive.append(outcomes) if outcomes else None
                return await self._write(drive, self._ahead(state, outcomes), list(outcomes), state.seq)
            except Conflict:  # somebody added a fact meanwhile: read it, and decide again
                moved = True
            except Unavailable as exc:
                await drive.pause(attempt, exc)

    async def _write(self, drive: Drive, state: RunState, events: list[e.StoredEvent], after: int) -> None:
        """Decide from `state` until there is something to do, and write `events` and all of that behind `after`."""
        while True:
            facts = p.Facts(self._boot, self._clock.now_us(), drive.spec.budgets, drive.offer.effects)
            commands = p.decide(state, facts)
            acts = [c for c in commands if type(c) in _ACTS]
            if acts and isinstance(acts[0], p.CallModel):  # which comes alone
                drive.offer = await self._box.offer(drive.spec, drive.who, state.accepted.mode)
            new = [event for command in commands for event in await self._events_of(command, state, drive)]
            events += new
            state = self._ahead(state, new)
            if acts or not new or state.status in ENDED:
                break
        if events:
            await self._append(state.run_id, events, after)
        drive.state, drive.acts = state, acts
        drive.absorb([])

    async def _append(self, run_id: str, events: list[e.StoredEvent], after: int) -> None:
        """Append behind `after`; Conflict where the log has moved on, unless it was with just these events."""
        try:
            await self._journal.append(run_id, events, after=after)
        except Conflict:  # a commit that seemed to be refused may have taken place
            written = await self._journal.read(run_id, after)
            if [record.event for record in written[: len(events)]] != events:
                raise

    def _ahead(self, state: RunState, events: Sequence[e.StoredEvent]) -> RunState:
        """The state once `events` are written behind it."""
        now = self._clock.now_us()
        return advance(state, [e.Record(state.run_id, state.seq + n, now, event) for n, event in enumerate(events, 1)])

    async def _events_of(self, command: p.Command, state: RunState, drive: Drive) -> list[e.StoredEvent]:
        """What a command writes at once: the intent of an act, or its whole effect."""
        match command:
            case p.CallModel(step=step):
                offer, model = drive.offer, state.accepted.model
                return [e.ModelStarted(step=step, model=model, boot=self._boot, tools=tuple(offer.tools), missing=offer.missing)]
            case p.Complete():  # as every run ends that nothing befell: each case before it has its price
                return _ending(command, state.accepted.session_id)
            case p.CallTool(call=call, effect=effect, attempt=attempt):
                return [e.ToolStarted(call=call, step=state.step, effect=effect, boot=self._boot, attempt=attempt)]
            case p.RefuseTool(call=call, reason=reason, text=text):
                result = ToolResult(call.id, (Text(text),), is_error=True)
                return [e.ToolFailed(call_id=call.id, name=call.name, reason=reason, result=result)]
            case p.AbandonModelCall(step=step):
                return [await self._models.abandoned(drive, step), e.TextDiscarded(step=step, reason="server_stopped")]
            case p.GoOn():
                return [e.MessageAdded(message=says("user", GO_ON), reason="autonomous")]
            case p.Wait():
                raise AssertionError("nothing is under way while a decision is made")
            case _:
                return _ending(command, state.accepted.session_id)

    async def _perform(self, drive: Drive, acts: Sequence[p.Command]) -> list[e.StoredEvent]:
        """The outcomes that are not in the log yet."""
        first = acts[0]
        if isinstance(first, p.CallModel):
            return [await self._models.call(drive, first.step)]
        return await self._tools.call_all(drive, [act for act in acts if isinstance(act, p.CallTool)])


def _ending(command: p.Command, session_id: str | None) -> list[e.StoredEvent]:
    match command:
        case p.Complete(text=text, finish_reason=reason):
            return [e.FinalText(text=text), e.RunCompleted(finish_reason=reason, session_id=session_id)]
        case p.StopOverBudget(budget=budget, limit=limit, spent=spent):
            message = f"the run reached its {budget} budget: {limit:g} allowed, {spent:g} needed"
            return [
                e.BudgetExceeded(budget=budget, limit=limit, spent=spent),
                e.RunFailed(code="budget_exceeded", message=message, session_id=session_id),
            ]
        case p.Fail(code=code, message=message, retry_after_s=wait):
            return [e.RunFailed(code=code, message=message, session_id=session_id, retry_after_s=wait)]
        case p.Cancel(reason=reason):
            return [e.RunCancelled(reason=reason, session_id=session_id)]
        case _:
            raise AssertionError(f"{type(command).__name__} ends no run")
