"""Which runs go on now: places, turns within a session, recovery at start, the way down."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from itertools import count
from typing import Any, Self

import msgspec
import structlog

from agentrt import events as e
from agentrt.agents import AgentSpec
from agentrt.journal import Journal
from agentrt.kernel import Conflict, Denied, Exhausted, Invalid, NotFound, Principal, Unavailable

from .accepting import Acceptance, Wanted
from .catalogue import Catalogue, direct
from .children import tell_spending
from .drive import Drive
from .engine import Engine
from .log_lines import log_events, run_began, run_ended, wants_events
from .state import ENDED, RunState, advance, fold
from .store import RunTable, session_of

log = structlog.get_logger()


class Waiting(msgspec.Struct, frozen=True):
    """A queued run: `session` is (tenant, session id)."""

    run_id: str
    session: tuple[str, str]


class Scheduler:
    """Owns the task of every run under way. Runs wait where `max_active` go on already, or their session is busy."""

    def __init__(
        self,
        journal: Journal,
        table: RunTable,
        engine: Engine,
        acceptance: Acceptance,
        catalogue: Catalogue,
        *,
        max_active: int,
        max_queued: int = 10_000,
        grace_s: float = 5.0,
    ) -> None:
        self._journal, self._table, self._engine = journal, table, engine
        self._acceptance, self._catalogue = acceptance, catalogue
        self._max_active, self._max_queued, self._grace_s = max_active, max_queued, grace_s
        self._group = asyncio.TaskGroup()
        self._drives: dict[str, Drive] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._busy: dict[tuple[str, str], str] = {}
        self._waiting: deque[Waiting] = deque()
        self._leaving: set[str] = set()

    async def __aenter__(self) -> Self:
        """Take up every run that an earlier process left behind."""
        await self._group.__aenter__()
        for run_id in await self._table.unfinished():
            try:
                await self._recover(run_id)
            except Unavailable:
                raise
            except Exception:  # a log that cannot be read must not keep the others from going on
                log.exception("run.not_recovered", run_id=run_id)
        self._promote()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.drain()
        await self._group.__aexit__(None, None, None)

    @property
    def active(self) -> int:
        return len(self._tasks)

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def holds(self, run_id: str) -> bool:
        """Whether the run goes on, or waits for its turn, in this process."""
        return run_id in self._drives

    def drive_of(self, run_id: str) -> Drive | None:
        """The run, where it goes on or waits in this process."""
        return self._drives.get(run_id)

    def parent_of(self, who: Principal) -> Drive | None:
        """The run whose code asks; None where nobody's does. Denied where it does not go on any more."""
        if not who.run:
            return None
        drive = self._drives.get(who.run)
        goes_on = drive is not None and drive.state is not None and drive.state.status == "running" and not drive.interrupted
        if drive is None or not goes_on or drive.who.tenant != who.tenant:
            raise Denied("the run whose code this is has ended", code="run_ended")
        return drive

    async def begin(self, who: Principal, run_id: str, wanted: Wanted) -> Drive:
        """Write how the run begins, and let it go on, or wait. Exhausted where too many wait already. A child has its place
        within its parent's: it never waits."""
        if self._engine.stopping:
            raise Unavailable("the server is shutting down", code="server_shutting_down", retry_after_s=2)
        session = (who.tenant, session_of(run_id, wanted.target.id))
        parent = self.parent_of(who)
        reason = None if parent else self._obstacle(session)
        drive = Drive(self._journal, who, wanted.spec, ())
        if reason is not None:
            if len(self._waiting) >= self._max_queued:
                raise Exhausted("too many runs are waiting", code="queue_full", retry_after_s=5)
            await self._queue(who, run_id, wanted, reason, Waiting(run_id, session), drive)
            return drive
        if parent is None:
            self._hold(run_id, session, drive)
        else:
            drive.told = asyncio.Event()
            self._drives[run_id] = parent.children[run_id] = drive
        try:
            started, drive.history = await self._acceptance.start(who, run_id, wanted)
            await self._engine.begin(drive, run_id, started)
        except BaseException:
            if parent is not None:
                parent.children.pop(run_id, None)
            self._release(run_id, session)
            raise
        run_began(drive)
        work = self._engine.carry_on(drive)
        self._spawn(run_id, session, drive, work if parent is None else self._as_child(parent, run_id, drive, work))
        if parent is not None and parent.interrupted:  # meanwhile
            self.leave(run_id, "parent_ended")
        return drive

    async def _as_child(self, parent: Drive, run_id: str, drive: Drive, work: Coroutine[Any, Any, None]) -> None:
        """Carry a child on, and tell its parent what it took, however it ends."""
        try:
            await work
        finally:
            await tell_spending(parent, run_id, drive.known.spent, drive.known.step)

    async def begin_call(self, run_id: str, drive: Drive, started: e.RunStarted) -> None:
        """Begin a run that is one tool call, at once: Exhausted where as many runs go on as may, for its caller waits."""
        if self._engine.stopping:
            raise Unavailable("the server is shutting down", code="server_shutting_down", retry_after_s=2)
        session = (started.tenant, session_of(run_id, None))
        if self._obstacle(session):
            raise Exhausted("too many runs go on now", code="max_active_runs", retry_after_s=2)
        self._hold(run_id, session, drive)
        try:
            await self._engine.begin(drive, run_id, started)
        except BaseException:
            self._release(run_id, session)
            raise
        run_began(drive)
        self._spawn(run_id, session, drive, self._engine.carry_on(drive))

    def _end_children(self, drive: Drive) -> None:
        for run_id, child in drive.children.items():
            if child is not None and not child.interrupted:
                self.leave(run_id, "parent_ended")

    def leave(self, run_id: str, reason: str) -> None:
        """Stop a run whose caller went away, without waiting for what comes of it."""
        if run_id not in self._leaving:
            self._leaving.add(run_id)
            self._group.create_task(self._left(run_id, reason), name=f"leave {run_id}")

    async def _left(self, run_id: str, reason: str) -> None:
        try:
            await self.cancel(run_id, reason, 0)
        except Unavailable as exc:  # the run goes on, and ends by itself
            log.warning("run.not_left", run_id=run_id, reason=exc.message)
        finally:
            self._leaving.discard(run_id)

    async def _queue(self, who: Principal, run_id: str, wanted: Wanted, reason: str, waiting: Waiting, drive: Drive) -> None:
        self._drives[run_id] = drive
        try:
            queued = await self._acceptance.queue(who, run_id, wanted, reason)
            await self._engine.begin(drive, run_id, queued)
        except BaseException:
            self._drives.pop(run_id, None)
            raise
        if not drive.interrupted:
            self._waiting.append(waiting)
            self._promote()

    async def cancel(self, run_id: str, reason: str, wait_s: float) -> None:
        """Stop a run, and wait a bounded time for its end. One that has ended stays as it is."""
        cancelled = e.CancelRequested(reason=reason)
        drive, task = self._drives.get(run_id), self._tasks.get(run_id)
        if drive is not None and task is not None:
            drive.absorb(await self._journal.append(run_id, [cancelled]))
            drive.interrupt()
            self._end_children(drive)
            await asyncio.wait([task], timeout=wait_s)
            return
        state = fold(await self._journal.read(run_id))
        if state.status not in ENDED:
            ended = e.RunCancelled(reason=reason, session_id=state.accepted.session_id)
            try:
                await self._journal.append(run_id, [cancelled, ended], after=state.seq)
            except Conflict:  # it began, or ended, at this very moment
                return await self.cancel(run_id, reason, wait_s)
        if drive is not None and run_id not in self._tasks:
            drive.interrupt()
            self._waiting = deque(w for w in self._waiting if w.run_id != run_id)
            self._drives.pop(run_id, None)

    async def drain(self) -> None:
        """Begin nothing new; let what is under way reach its outcome up to the grace period, then cut it off."""
        self._engine.stopping = True
        self._waiting.clear()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._grace_s)
            for task in late:
                task.cancel()

    def _obstacle(self, session: tuple[str, str]) -> str | None:
        if session in self._busy:
            return "session_busy"
        return "max_active_runs" if len(self._busy) >= self._max_active else None

    def _hold(self, run_id: str, session: tuple[str, str], drive: Drive) -> None:
        self._busy[session] = run_id
        self._drives[run_id] = drive

    def _release(self, run_id: str, session: tuple[str, str]) -> None:
        self._busy.pop(session, None)
        self._drives.pop(run_id, None)
        self._tasks.pop(run_id, None)
        self._promote()

    def _spawn(
        self, run_id: str, session: tuple[str, str], drive: Drive, work: Coroutine[Any, Any, None], logged: int = 0
    ) -> None:
        """Let a run go on; its events up to `logged` are in the process's log already."""
        task = self._group.create_task(self._carry_on(run_id, session, drive, work), name=f"drive {run_id}")
        self._tasks[run_id] = task
        if wants_events(drive):
            lines = self._group.create_task(log_events(self._journal, run_id, logged), name=f"log {run_id}")
            task.add_done_callback(lambda _: drive.known.status in ENDED or lines.cancel())

    def _promote(self) -> None:
        """Start every waiting run whose turn it is, oldest first."""
        if not self._waiting or self._engine.stopping:
            return
        still: deque[Waiting] = deque()
        taken: set[tuple[str, str]] = set()
        while self._waiting and len(self._busy) < self._max_active:
            waiting = self._waiting.popleft()
            if waiting.session in taken or self._obstacle(waiting.session):
                still.append(waiting)
                taken.add(waiting.session)
                continue
            drive = self._drives[waiting.run_id]
            self._hold(waiting.run_id, waiting.session, drive)
            self._spawn(waiting.run_id, waiting.session, drive, self._take_turn(waiting.run_id, drive))
        self._waiting.extendleft(reversed(still))

    async def _take_turn(self, run_id: str, drive: Drive) -> None:
        """Begin a run that waited, and carry it on."""
        for attempt in count(1):
            if drive.known.status in ENDED:  # cancelled before it could begin
                return
            queued = drive.known.accepted
            assert isinstance(queued, e.RunQueued), "only queued runs wait"
            try:
                started, drive.history = await self._acceptance.from_queue(drive.who, run_id, queued, drive.spec)
                await self._engine.begin(drive, run_id, started)
                break
            except Conflict:  # somebody cancels it at this very moment
                await drive.catch_up(())
            except Unavailable as exc:
                await drive.pause(attempt, exc)
        run_began(drive)
        await self._engine.carry_on(drive)

    async def _carry_on(self, run_id: str, session: tuple[str, str], drive: Drive, work: Coroutine[Any, Any, None]) -> None:
        """Whatever goes wrong in a run ends that run, and no other."""
        structlog.contextvars.bind_contextvars(run_id=run_id, session_id=session[1])
        try:
            await work
        except (Invalid, NotFound) as exc:
            await self._fail(drive, exc.code, exc.message)
        except Exception:
            log.exception("run.crashed", run_id=run_id)
            await self._fail(drive, "internal_error", "the server made a mistake while it carried out this run")
        finally:
            run_ended(drive)
            self._end_children(drive)
            self._release(run_id, session)

    async def _fail(self, drive: Drive, code: str, message: str) -> None:
        failed = e.RunFailed(code=code, message=message, session_id=drive.known.accepted.session_id)
        try:
            await drive.append([failed])
        except Exception:  # a log that cannot be read, say; the other runs go on
            log.exception("run.left", run_id=drive.known.run_id)
            self._journal.fail(drive.known.run_id, Unavailable("the run's log cannot be written", code="internal_error"))

    async def _spec_of(self, accepted: e.RunQueued | e.RunStarted, only: e.OnlyCall | None) -> AgentSpec:
        if only is not None and only.sandbox is not None:
            return direct(accepted.agent, only.sandbox)
        return await self._catalogue.pinned(accepted.agent, accepted.agent_version)

    async def _untold(self, state: RunState) -> list[e.Record]:
        """Write down what children took of which the last process had no time to tell their parent."""
        log = await self._journal.read(state.run_id)
        told = {record.event.child_run_id for record in log if isinstance(record.event, e.ChildSpent)}
        untold: list[e.StoredEvent] = []
        for child_id in await self._table.children(state.accepted.tenant, state.run_id):
            child = fold(await self._journal.read(child_id))
            if child_id not in told and child.step:
                spent = child.spent
                untold.append(e.ChildSpent(child_run_id=child_id, calls=child.step, usage=spent.usage, cost_usd=spent.cost_usd))
        return await self._journal.append(state.run_id, untold) if untold else []

    async def _recover(self, run_id: str) -> None:
        state = fold(await self._journal.read(run_id))
        accepted = state.accepted
        session = (accepted.tenant, session_of(run_id, accepted.session_id))
        who = Principal(accepted.tenant, accepted.user)
        try:
            started = accepted if isinstance(accepted, e.RunStarted) else None
            spec = await self._spec_of(accepted, started.only if started else None)
            history = await self._acceptance.history(started) if started else ()
        except (Invalid, NotFound) as exc:
            log.error("run.not_recovered", run_id=run_id, reason=exc.message)
            failed = e.RunFailed(code="not_recovered", message=exc.message, session_id=accepted.session_id)
            await self._journal.append(run_id, [failed], after=state.seq)
            return
        if spec.sandbox.models:
            state = advance(state, await self._untold(state))
        drive = Drive(self._journal, who, spec, history)
        drive.state = state
        if state.status == "queued":
            self._drives[run_id] = drive
            self._waiting.append(Waiting(run_id, session))
        elif state.status == "running":
            log.info("run.recovered", run_id=run_id)
            self._hold(run_id, session, drive)
            self._spawn(run_id, session, drive, self._engine.resume(drive), logged=state.seq)
