"""The face of runs: start, watch, cancel, and what they were."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from weakref import WeakValueDictionary

import structlog
from msgspec.structs import replace

from agentrt import events as e
from agentrt.agents import AgentSpec
from agentrt.files import Blobs
from agentrt.journal import Journal, Place
from agentrt.kernel import Clock, Conflict, Exhausted, Invalid, NotFound, Principal, is_id, new_id
from agentrt.sessions import SessionService, is_session

from .accepting import Acceptance, Wanted
from .children import child_agent, child_command
from .claims import Claims, checked
from .drive import Drive
from .live import LiveRun
from .scheduler import Scheduler
from .state import ENDED
from .steps import artifacts_of, steps_of
from .store import RunTable, session_of
from .views import ArtifactView, RunFilter, RunPage, RunView, StartRun, Step

log = structlog.get_logger()

SWEEP_US = 3600 * 1_000_000
CANCEL_WAIT_S = 5.0


class RunService:
    """Every method takes the Principal first; another tenant's runs are NotFound."""

    def __init__(
        self,
        journal: Journal,
        table: RunTable,
        scheduler: Scheduler,
        acceptance: Acceptance,
        sessions: SessionService,
        blobs: Blobs,
        clock: Clock,
    ) -> None:
        self._journal, self._table, self._scheduler = journal, table, scheduler
        self._acceptance, self._sessions, self._blobs, self._clock = acceptance, sessions, blobs, clock
        self._claims = Claims(table, clock)
        self._swept_at = clock.now_us()
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    async def sweep(self) -> None:
        """Forget idempotency keys that are older than a day."""
        self._swept_at = self._clock.now_us()
        await self._claims.sweep()

    async def _sweep_now_and_then(self) -> None:
        if self._clock.now_us() - self._swept_at > SWEEP_US:
            await self.sweep()

    async def start(self, who: Principal, command: StartRun) -> LiveRun:
        """Accept a run; it is durably recorded when this returns, and goes on whoever listens.

        Invalid, NotFound, Conflict (an idempotency key used with another body), Exhausted (the queue is full), Unavailable.
        """
        if not checked(command.idempotency_key):
            return await self._start_in_session(who, command)
        if who.run:  # each run's code has its own keys
            command = replace(command, idempotency_key=f"{who.run}:{command.idempotency_key}")
        async with self._claims.turn(who, command.idempotency_key):
            await self._sweep_now_and_then()
            known = await self._claimed(who, command)
            return known or await self._start_in_session(who, command)

    async def _start_in_session(self, who: Principal, command: StartRun) -> LiveRun:
        if not command.session_id:
            return await self._start(who, command)
        if command.session_source != "user":
            async with self._lock(who.tenant, "session", command.session_id):
                return await self._start(who, command)
        async with self._lock(who.tenant, "user", command.session_id):
            session_id = (await self._look_up(who, command)).target.id
            # looked up again inside: it may be deleted until the lock is ours
            async with self._lock(who.tenant, "session", session_id or ""):
                return await self._start(who, command)

    async def _start(self, who: Principal, command: StartRun) -> LiveRun:
        wanted = await self._look_up(who, command)
        run_id = new_id("run")
        try:
            drive = await self._scheduler.begin(who, run_id, wanted)
        except (Conflict, Exhausted, Invalid, NotFound):  # what it brought along belongs to nobody now
            await self._blobs.purge([run_id])
            raise
        session_id = session_of(run_id, wanted.target.id)
        return LiveRun(self._journal, run_id, session_id, created_at=drive.known.at, drive=drive)

    async def _look_up(self, who: Principal, command: StartRun) -> Wanted:
        parent = self._scheduler.parent_of(who)
        if parent is None:
            return await self._acceptance.look_up(who, command)
        return await self._acceptance.look_up(who, child_command(parent, command), child_agent(parent))

    def agent_of_children(self, who: Principal) -> AgentSpec | None:
        """Who answers where a run's code asks; None where nobody's does. Denied where its run has ended, Exhausted where nothing
        of its budgets is left."""
        parent = self.parent_of(who)
        return None if parent is None else child_agent(parent)

    def parent_of(self, who: Principal) -> Drive | None:
        """The run whose code asks; None where nobody's does. Denied where it does not go on any more."""
        return self._scheduler.parent_of(who)

    async def record(self, who: Principal, run_id: str, events: Sequence[e.StoredEvent]) -> None:
        """Add facts that others saw happen to a run, also after its end."""
        drive = self._scheduler.drive_of(run_id)
        if drive is not None and drive.state is not None:
            await drive.append(events)
            return
        await self._table.get(who.tenant, run_id)
        await self._journal.append(run_id, events)

    async def get(self, who: Principal, run_id: str) -> RunView:
        return await self._table.get(who.tenant, run_id)

    async def steps(self, who: Principal, run_id: str) -> list[Step]:
        await self._table.get(who.tenant, run_id)
        return steps_of(await self._journal.read(run_id))

    async def artifacts(self, who: Principal, run_id: str) -> list[ArtifactView]:
        await self._table.get(who.tenant, run_id)
        return artifacts_of(await self._journal.read(run_id))

    async def watch(self, who: Principal, run_id: str, cursor: str = "0") -> AsyncIterator[list[e.Record | e.Delta]] | None:
        """Everything past `cursor`, then what happens, to the end of the run; None where nothing will come any more.

        Invalid for a bad cursor.
        """
        place = Place(cursor)
        view = await self._table.get(who.tenant, run_id)
        if view.status in ENDED:
            left = await self._journal.read(run_id, place.seq)
            if not any(isinstance(record.event, e.End) for record in left):
                return None
        return self._journal.tail(run_id, cursor)

    async def cancel(self, who: Principal, run_id: str, reason: str = "request") -> RunView:
        """Stop a run: its model stream and running tools are told at once. Conflict where it ended otherwise before."""
        view = await self._table.get(who.tenant, run_id)
        if view.status == "cancelled":
            return view
        if view.status in ENDED:
            raise Conflict(f"the run has {view.status} already", code="run_ended")
        await self._scheduler.cancel(run_id, reason, CANCEL_WAIT_S)
        view = await self._table.get(who.tenant, run_id)
        if view.status in ENDED and view.status != "cancelled":  # it ended otherwise while it was told
            raise Conflict(f"the run has {view.status} already", code="run_ended")
        return view

    def leave(self, run_id: str, reason: str = "disconnect") -> None:
        """Stop a run of one's own without waiting for what comes of it: its caller went away."""
        self._scheduler.leave(run_id, reason)

    async def erase_session(self, who: Principal, session_id: str, force: bool) -> None:
        """Delete a session with the events and files of its runs. Conflict while one is live, unless `force` cancels it; a turn
        that comes meanwhile begins after it, in a session without a past."""
        async with self._lock(who.tenant, "session", session_id):
            await self._erase_session(who, session_id, force)

    async def _erase_session(self, who: Principal, session_id: str, force: bool) -> None:
        run_ids = await self._table.of_session(who.tenant, session_id) if is_session(session_id) else []
        if not run_ids:  # rows go after events: what a crash left half deleted can be deleted again
            await self._sessions.find(who, session_id)
        live = [run_id for run_id in run_ids if self._scheduler.holds(run_id)]
        if live and not force:
            raise Conflict(f"the session has a live run ({live[0]}); cancel it, or delete with force=true", code="session_busy")
        for run_id in live:
            await self._scheduler.cancel(run_id, "session_deleted", CANCEL_WAIT_S)
        if still := [run_id for run_id in live if self._scheduler.holds(run_id)]:
            raise Conflict(f"the run {still[0]} has not ended yet; try again", code="session_busy")
        await self._journal.purge(run_ids)
        await self._blobs.purge(run_ids)
        await self._table.forget(run_ids)
        await self._sessions.forget(who, session_id, run_ids)

    async def _claimed(self, who: Principal, command: StartRun) -> LiveRun | None:
        """The run that this idempotency key stands for already."""
        claim = await self._claims.find(who, command.idempotency_key, command.body_hash)
        if claim is None:
            return None
        view = await self._table.get(who.tenant, claim.run_id)
        return LiveRun(self._journal, view.id, view.session_id, created_at=claim.at)

    def _lock(self, *name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def list(self, who: Principal, wanted: RunFilter) -> RunPage:
        for param in ("after", "before"):
            value = getattr(wanted, param)
            if value and not is_id("run", value):
                raise Invalid(f"{value[:60]!r} is not a run id", param=param)
        if wanted.session_id and not is_session(wanted.session_id):
            raise Invalid(f"{wanted.session_id[:60]!r} is not a session", param="session_id")
        if wanted.agent and "\x00" in wanted.agent:
            raise Invalid(f"{wanted.agent[:60]!r} is not an agent", param="agent")
        found = await self._table.list(who.tenant, wanted, wanted.limit + 1)
        data = found[: wanted.limit][:: -1 if wanted.backwards else 1]
        ends = (data[0].id, data[-1].id) if data else (None, None)
        return RunPage(data=data, has_more=len(found) > wanted.limit, first_id=ends[0], last_id=ends[1])
