"""The face of sandboxes: a container and a workspace in the hands of one user and session, and code that runs in it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import structlog
from msgspec.structs import replace

from agentrt.agents import AgentSpec, SandboxRule
from agentrt.files import Blobs
from agentrt.kernel import Clock, Conflict, NotFound, Principal, rfc3339
from agentrt.tools import Artifact

from .artifacts import Keeper, Made, look
from .egress import PORT, Grant, environment
from .errors import EngineUnavailable, SandboxGone
from .output import Collector, Emit
from .pool import Lease, Pool
from .room import hold_to_size
from .runner import Job, Outcome, RunnerLink
from .station import Station
from .workspaces import Holder, Snapshot, Tree

log = structlog.get_logger()

MOST_LOGGED, MOST_GONE = 100, 1000


Sight = Callable[[AgentSpec], Mapping[str, Path]]
"""Folders that this agent's boxes see, by their names at the root. Takes time."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What came of running something. `truncated`: some of the output is left out here. `state_lost`: variables of earlier
    executions are gone. `why` is why the container ended, where it did."""

    outcome: Outcome
    stdout: str
    stderr: str
    truncated: bool
    state_lost: bool
    made: Made = Made()
    why: str = ""


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, as a list shows it."""

    run_id: str
    at: str
    mode: str
    exit_code: int
    ended: str
    duration_ms: float
    output_bytes: int


class Held:
    """A lease with what the service knows of it. `granted`: its outlet lets something through; `listens`: by TCP, too;
    `has_packages`: the folder for packages is there."""

    def __init__(self, lease: Lease, pool: Pool) -> None:
        self.lease, self.pool = lease, pool
        self.turn = asyncio.Lock()
        self.seen: Snapshot | None = None
        self.granted = self.listens = False
        self.log: deque[Logged] = deque(maxlen=MOST_LOGGED)
        self.count = 0
        self.has_packages = False

    @property
    def id(self) -> str:
        return self.lease.id

    @property
    def holder(self) -> Holder:
        return self.lease.holder

    @property
    def tree(self) -> Tree:
        return self.lease.workspace.tree


class _Course:
    """What is known of an execution while it goes on."""

    def __init__(self) -> None:
        self.collector, self.made = Collector(), Made()
        self.outcome: Outcome | None = None
        self.lost = False


class Sandboxes:
    """Every method takes the Principal first; what another tenant or user holds is not found."""

    def __init__(self, station: Station, blobs: Blobs, clock: Clock, sight: Sight) -> None:
        self._station, self._clock, self._sight = station, clock, sight
        self._keeper = Keeper(blobs)
        self._held: dict[str, Held] = {}
        self._of_runs: dict[str, str] = {}
        self._showing: list[Mapping[str, Path]] = []

    async def hold(self, who: Principal, session: str, agent: AgentSpec, *, expires_s: float | None = None) -> Held:
        """The sandbox of this user and session, for code of `agent`; another container where the last one is gone.

        EngineUnavailable, ImageMissing; Exhausted, with when to come back, where none is free.
        """
        pool = await self._station.pool(agent.sandbox.pool)
        views = await asyncio.to_thread(self._sight, agent) if agent.skills else {}
        self._showing.append(views)
        try:
            lease = await pool.acquire(holder_of(who, session, agent.sandbox), views=views, expires_s=expires_s)
        finally:
            self._showing.remove(views)
        held = self._held.get(lease.id)
        if held is None:
            held = self._held[lease.id] = Held(lease, pool)
            self._forget_gone()
        return held

    def views(self) -> set[Path]:
        """The folders that sandboxes see, or are about to."""
        seen = [held.lease.views for held in self._held.values() if held.lease.alive]
        return {folder for views in (*seen, *self._showing) for folder in views.values()}

    async def hold_for_run(self, who: Principal, run_id: str, agent: AgentSpec) -> Held:
        """The same for a run without a session: it ends with the run, files and all."""
        held = await self.hold(who, run_id, agent)
        if held.holder.session == run_id:
            self._of_runs[run_id] = held.id
        return held

    def get(self, who: Principal, sandbox_id: str) -> Held:
        """SandboxGone, with the reason where it is known, for one that is not there, or is not this user's."""
        held = self._held.get(sandbox_id)
        if held is None or not _is_his(who, held.holder):
            raise SandboxGone(f"there is no sandbox {sandbox_id[:60]!r}")
        if not held.lease.alive:
            held.pool.get(sandbox_id)  # says why
            raise SandboxGone(f"the sandbox {sandbox_id} is ending")
        return held

    def by_id(self, who: Principal, sandbox_id: str) -> Held:
        """The same for a caller that names no user: whoever knows the id of a sandbox of the tenant may use it."""
        held = self._held.get(sandbox_id)
        user = who.user or (held.holder.user if held else "")
        return self.get(Principal(who.tenant, user), sandbox_id)

    def list(self, who: Principal) -> list[Held]:
        """Those of this user that are alive, oldest first."""
        return [held for held in self._held.values() if held.lease.alive and _is_his(who, held.holder)]

    async def execute(self, held: Held, job: Job, *, grant: Grant, emit: Emit) -> Execution:
        """Run a job for the run of `grant`, with the variables that lead to what that lets it reach: one at a time in a sandbox.
        Output is handed to `emit` as it comes, then artifacts.

        SandboxGone where the container ended before, with why; EngineUnavailable. Cancelling it ends all that it began.
        """
        course, why = _Course(), ""
        try:
            async with held.turn, held.lease.use(shared=job.mode != "kernel") as link:
                await self._grant(held, grant)
                equipped = replace(job, env={**environment(grant.rule), **job.env})
                await self._run(held, link, equipped, grant, emit, course)
        except SandboxGone as exc:  # it ended meanwhile: what was printed until then is told all the same
            if course.outcome is None:
                raise
            why = exc.message
        finally:
            if held.granted:
                await self._grant(held, replace(grant, run_id=""))
        outcome, collector = course.outcome, course.collector
        assert outcome is not None
        collector.end()
        await collector.flush(emit)
        for artifact in course.made.artifacts:
            await emit(artifact)
        self._log(held, grant.run_id, job, outcome)
        return Execution(
            outcome=outcome,
            stdout=collector.kept["stdout"].text,
            stderr=collector.kept["stderr"].text,
            truncated=bool(collector.left_out) or outcome.ended == "output",
            state_lost=course.lost or outcome.state_lost or (bool(why) and job.mode == "kernel"),
            made=course.made,
            why=why,
        )

    async def _run(self, held: Held, link: RunnerLink, job: Job, grant: Grant, emit: Emit, course: "_Course") -> None:
        course.lost = job.mode == "kernel" and held.lease.lost_state
        workspace = held.lease.workspace
        await workspace.check_room()
        before = await look(held.tree, held.seen)
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(course.collector.show(emit), name=f"output of {grant.run_id}")]
            if not workspace.is_volume:
                beside.append(group.create_task(hold_to_size(workspace, link), name=f"size of the files of {held.id}"))
            try:
                course.outcome = await self._timed(job, link, course.collector)
                if workspace.outgrown and course.outcome.exit_code:
                    course.outcome = replace(course.outcome, ended=course.outcome.ended or "disk")
            finally:
                for task in beside:
                    task.cancel()
        await workspace.measure()
        held.seen = after = await look(held.tree, before)
        whole = before.complete and after.complete
        made = await self._keeper.keep(grant.who, grant.run_id, held.tree, after.since(before))
        course.made = replace(made, complete=whole)

    async def _timed(self, job: Job, link: RunnerLink, collector: Collector) -> Outcome:
        began = time.perf_counter()  # the loop's clock counts whole milliseconds
        outcome = await link.run(job, collector.take)
        value = outcome.value.replace("\x00", "\ufffd")  # as in output
        return replace(outcome, value=value, duration_ms=round((time.perf_counter() - began) * 1e3, 3))

    @asynccontextmanager
    async def files(self, who: Principal, session: str, rule: SandboxRule) -> AsyncIterator[Tree | None]:
        """The files of this user's session, whether a container has them now or not; None where there are none yet.
        EngineUnavailable."""
        workspaces, holder = self._station.workspaces, holder_of(who, session, rule)
        if not await workspaces.find(holder):
            yield None
            return
        workspace = await workspaces.open(holder)
        try:
            yield workspace.tree
        finally:
            await workspace.close()

    async def keep(self, who: Principal, held: Held, run_id: str, path: str) -> Artifact | None:
        """Store one file of the workspace for a run; None where it cannot be."""
        made = await self._keeper.keep(who, run_id, held.tree, (path,))
        return made.artifacts[0] if made.artifacts else None

    async def release(self, who: Principal, sandbox_id: str, *, with_files: bool = False) -> None:
        """End the container; the files stay, or go too. SandboxGone for one that is not there, or was released before."""
        held = self.get(who, sandbox_id)
        await held.pool.release(held.id)
        if with_files:
            await self._station.workspaces.forget(held.holder)

    def has_own(self, run_id: str) -> bool:
        """Whether this run has a sandbox that ends with it."""
        return run_id in self._of_runs

    async def end_of_run(self, run_id: str) -> None:
        held = self._held.pop(self._of_runs.pop(run_id, ""), None)
        if held is None:
            return
        with suppress(SandboxGone):
            await held.pool.release(held.id)
        with suppress(NotFound, Conflict):
            await self._station.workspaces.forget(held.holder)

    async def erase(self, who: Principal, session: str) -> None:
        """Delete what is left of a session: its containers and its files; of whoever names no user, those of all of the tenant's
        users. Where no engine answers the files stay until nobody has used them for long."""

        def is_meant(holder: Holder) -> bool:  # others may have a sandbox of the same name
            return (holder.tenant, holder.session) == (who.tenant, session) and who.user in ("", holder.user)

        for held in list(self._held.values()):
            if held.lease.alive and is_meant(held.holder):
                with suppress(SandboxGone):
                    await held.pool.release(held.id)
        try:
            workspaces = self._station.workspaces
        except EngineUnavailable:
            return
        for about in await workspaces.all():
            if is_meant(about.holder):
                with suppress(NotFound, Conflict):
                    await workspaces.forget(about.holder)

    async def collect(self) -> int:
        """Remove workspaces that nobody has used for as long as they are kept; how many. EngineUnavailable."""
        return await self._station.workspaces.collect()

    async def _grant(self, held: Held, grant: Grant) -> None:
        """What the code may reach from now on; most may reach nothing, and never could."""
        rule = grant.rule
        wanted = bool(rule.upstreams or rule.hosts or rule.models)
        if self._station.outlet is not None and (wanted or held.granted):
            held.granted = wanted
            await self._station.outlet.bind(held.lease.box.id, grant if wanted else None)
            if wanted and not held.listens:
                held.listens = True
                await self._listen(held)

    async def _listen(self, held: Held) -> None:
        """Let code reach its way out by TCP too, as SDKs do."""
        assert self._station.outlet is not None
        try:
            await self._station.outlet.listen(held.lease.box.id, await held.lease.link.listen(PORT))
        except OSError as exc:  # earlier code of the same user listens there: it spoils its own way only
            log.warning("egress.port_taken", sandbox=held.id, reason=str(exc))

    def _log(self, held: Held, run_id: str, job: Job, outcome: Outcome) -> None:
        held.count += 1
        held.log.append(
            Logged(
                run_id=run_id,
                at=rfc3339(self._clock.now_us()),
                mode=job.mode,
                exit_code=outcome.exit_code,
                ended=outcome.ended or "exited",
                duration_ms=outcome.duration_ms,
                output_bytes=outcome.output_bytes,
            )
        )

    def _forget_gone(self) -> None:
        gone = [id_ for id_, held in self._held.items() if not held.lease.alive]
        for id_ in gone:
            self._held[id_].seen = None
        for id_ in gone[:-MOST_GONE]:  # the newest ones can still say why
            del self._held[id_]


def holder_of(who: Principal, session: str, rule: SandboxRule) -> Holder:
    """Whose sandbox it is. Files of all sessions are shared only where it is known whose they are."""
    shared = rule.workspace == "user" and who.user
    return Holder(tenant=who.tenant, user=who.user, session="" if shared else session, pool=rule.pool)


def _is_his(who: Principal, holder: Holder) -> bool:
    return (holder.tenant, holder.user) == (who.tenant, who.user)
