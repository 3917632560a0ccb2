"""A tool call from outside as a run of one step: recorded, watchable, cancellable, budgeted like every other run."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from agentrt import events as e
from agentrt.agents import AgentSpec
from agentrt.journal import Journal
from agentrt.kernel import NotFound, Principal, Unavailable, new_id
from agentrt.messages import Text, ToolCall, ToolResult
from agentrt.tools import Offer, ToolBox

from .catalogue import DIRECT_VERSION, Catalogue
from .claims import Claims, checked
from .drive import Drive, Listener
from .scheduler import Scheduler


class ToolRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the tool answered, and the run that recorded it. `reason` is a stable word where no answer came (`cancelled`,
    `timeout`, `unavailable`, `budget_exceeded`, an error's code); `result` says it in a sentence then.
    `replayed`: an idempotency key led to a call that was made before."""

    run_id: str
    result: ToolResult
    reason: str = ""
    replayed: bool = False


class ToolRuns:
    """Opens these runs and waits for their ends. One whose server dies meanwhile is taken up at the next start like any
    other: a call whose effect is unknown is not made again."""

    def __init__(self, journal: Journal, scheduler: Scheduler, catalogue: Catalogue, box: ToolBox, claims: Claims) -> None:
        self._journal, self._scheduler, self._catalogue, self._box = journal, scheduler, catalogue, box
        self._claims = claims

    async def offer(self, who: Principal, agent: AgentSpec | str | None) -> Offer:
        """The tools that may be called for `agent` now; NotFound for a name that no agent has."""
        spec, _ = self._spec(agent)
        return await self._box.offer(spec, who, "interactive")

    async def call(
        self,
        who: Principal,
        agent: AgentSpec | str | None,
        call: ToolCall,
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        emit: Listener | None = None,
        idempotency_key: str = "",
        body_hash: str = "",
    ) -> ToolRunResult:
        """Carry out `call` for `agent` (its name; None: the default one; a spec that no file holds: only its `sandbox` is
        remembered over a crash). `session_id` names the sandbox's session. `emit` is given output at once.

        Cancelling this cancels the run. A call with the key of an earlier one is not made: that one's outcome is waited for, and
        cancelling this leaves it alone; Conflict where its body was another. NotFound for a tool that is not offered, Unavailable
        for one that is missing now or while the server goes down, Exhausted where too many runs go on. Whatever the tool does is
        in the result.
        """
        key = checked(idempotency_key)
        spec, version = self._spec(agent)
        self._refuse_missing(call, await self._box.offer(spec, who, "interactive"))
        sandbox = spec.sandbox if version == DIRECT_VERSION else None
        started = e.RunStarted(
            tenant=who.tenant,
            user=who.user,
            agent=spec.name,
            agent_version=version,
            model="",
            provider="",
            metadata=dict(metadata or {}),
            idempotency_key=key,
            body_hash=body_hash,
            only=e.OnlyCall(call=call, session=session_id, sandbox=sandbox),
        )
        drive = Drive(self._journal, who, spec, ())
        drive.listener = emit
        if not key:
            return await self._follow(await self._begin(drive, started), call)
        async with self._claims.turn(who, key):
            claim = await self._claims.find(who, key, body_hash)
            run_id = await self._begin(drive, started) if claim is None else claim.run_id
        done = await self._follow(run_id, call, mine=claim is None)
        return msgspec.structs.replace(done, replayed=claim is not None)

    async def _begin(self, drive: Drive, started: e.RunStarted) -> str:
        run_id = new_id("run")
        await self._scheduler.begin_call(run_id, drive, started)
        return run_id

    async def _follow(self, run_id: str, call: ToolCall, *, mine: bool = True) -> ToolRunResult:
        seen: list[e.StoredEvent] = []
        try:
            async with aclosing(self._journal.tail(run_id, live=False)) as batches:
                async for batch in batches:
                    seen += [item.event for item in batch if isinstance(item, e.Record)]
        except asyncio.CancelledError:
            if mine:
                self._scheduler.leave(run_id, "disconnect")
            raise
        return _result(run_id, call, seen)

    def _spec(self, agent: AgentSpec | str | None) -> tuple[AgentSpec, str]:
        if isinstance(agent, AgentSpec):
            return agent, DIRECT_VERSION
        found = self._catalogue.find(agent)
        return found.spec, found.version

    def _refuse_missing(self, call: ToolCall, offer: Offer) -> None:
        if call.name in offer.tools:
            return
        why = "; ".join(f"{name}: {reason}" for name, reason in offer.missing.items())
        if why:
            raise Unavailable(f"the tool {call.name[:64]!r} is not there now ({why})", code="tool_unavailable")
        known = ", ".join(sorted(offer.tools)) or "none"
        raise NotFound(f"there is no tool {call.name[:64]!r} (tools: {known})", code="tool_not_found", param="name")


def _result(run_id: str, call: ToolCall, events: Sequence[e.StoredEvent]) -> ToolRunResult:
    """What came of the call; where it has no outcome, why the run ended. Unavailable where the run goes on after a restart."""
    for event in events:
        match event:
            case e.ToolCompleted(result=result):
                return ToolRunResult(run_id=run_id, result=result)
            case e.ToolFailed(result=result, reason=reason):
                return ToolRunResult(run_id=run_id, result=result, reason=reason)
            case e.RunFailed(code=code, message=message):
                return ToolRunResult(run_id=run_id, result=_said(call, message), reason=code)
            case e.RunCancelled():
                return ToolRunResult(run_id=run_id, result=_said(call, "the run was cancelled"), reason="cancelled")
            case _:
                pass
    raise Unavailable("the server is shutting down", code="server_shutting_down", retry_after_s=2)


def _said(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(call.id, (Text(text),), is_error=True)
