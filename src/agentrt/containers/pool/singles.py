"""Boxes that are not pooled: each has limits of its own, and is there until it is removed."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import structlog

from agentrt.kernel import AgentrtError, Exhausted, NotFound, TimedOut, is_id, new_id

from ..spec import Limits
from ..workspaces import Holder
from .box import DEATHS, SAID, Box, gone
from .lease import Lease
from .slots import fixed_mounts, later_mounts
from .starting import Recipe
from .stock import Stock
from .supplies import Supplies

log = structlog.get_logger()

POOL = "vms"
SingleState = Literal["stopped", "starting", "running", "failed"]
_MOST, _AT_ONCE = 50, 2
_CLEARED_S, _READY_S = 15.0, 60.0
_FOREVER_S = 10 * 365 * 86_400.0


class SingleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a single box is started from."""

    image: str
    limits: Limits = Limits()


class SingleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one, over restarts. `wanted`: it is to run whenever the server does. `extra` is whatever the maker
    keeps with it, such as a port."""

    id: str
    tenant: str
    user: str
    spec: SingleSpec
    created_us: int
    wanted: bool = False
    extra: Mapping[str, Any] = {}


class Single:
    """One of them. `lease` is how it is used while it runs."""

    def __init__(self, record: SingleRecord) -> None:
        self.record, self.trouble = record, ""
        self.lease: Lease | None = None
        self.turn = asyncio.Lock()
        self.starting = False

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def holder(self) -> Holder:
        return Holder(tenant=self.record.tenant, user=self.record.user, session=self.record.id, pool=POOL)

    @property
    def state(self) -> SingleState:
        if self.starting:
            return "starting"
        if self.lease is not None and self.lease.alive:
            return "running"
        return "failed" if self.why else "stopped"

    @property
    def why(self) -> str:
        """Why it failed, in a sentence; empty where it did not."""
        if self.lease is not None and self.lease.box.why in DEATHS:
            return SAID[self.lease.box.why]
        return self.trouble


class Singles:
    """The single boxes of a server; records are files in `folder`. Those that were running are started again when it opens."""

    def __init__(self, folder: Path, supplies: Supplies, cleared: asyncio.Event) -> None:
        self._folder, self._with, self._cleared = folder, supplies, cleared
        self._group = asyncio.TaskGroup()
        self.stock = Stock(POOL, supplies, self._group)
        self._starting = asyncio.Semaphore(_AT_ONCE)
        self._singles: dict[str, Single] = {}
        self._restarts: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._load)
        await self._group.__aenter__()
        self._restarts = [
            self._group.create_task(self._restart(single), name=f"start {single.id}")
            for single in self._singles.values()
            if single.record.wanted
        ]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._restarts:
            task.cancel()
        await self.stock.end_all()
        await self._group.__aexit__(None, None, None)

    async def create(self, tenant: str, user: str, spec: SingleSpec, extra: Mapping[str, Any] | None = None) -> Single:
        """A new one, stopped, with a disk of the size that its limits say. Exhausted where there are too many; Unavailable."""
        if len(self._singles) >= _MOST:
            raise Exhausted(f"there are {_MOST} single containers already; remove one first", code="too_many_containers")
        now = self._with.clock.now_us()
        record = SingleRecord(id=new_id("vm"), tenant=tenant, user=user, spec=spec, created_us=now, extra=extra or {})
        single = self._singles[record.id] = Single(record)
        try:
            await self._with.workspaces.make(single.holder, spec.limits.disk_mb, spec.limits.inodes)
            await self._keep(single)
        except BaseException:
            del self._singles[record.id]
            raise
        return single

    def get(self, single_id: str) -> Single:
        """NotFound."""
        if (single := self._singles.get(single_id)) is None:
            raise NotFound(f"there is no VM {single_id[:64]!r}", code="vm_not_found")
        return single

    def all(self) -> Sequence[Single]:
        return list(self._singles.values())

    async def start(self, single_id: str) -> Single:
        """Let it run; fine for one that does. EngineUnavailable, ImageMissing, Invalid for its limits; TimedOut."""
        single = self.get(single_id)
        async with single.turn:
            self.get(single_id)  # or somebody removed it meanwhile
            if single.state != "running":
                await self._keep(single, wanted=True)
                await self._start(single)
        return single

    async def stop(self, single_id: str) -> Single:
        """End what runs in it; its files stay. Fine for one that does not run."""
        single = self.get(single_id)
        async with single.turn:
            self.get(single_id)
            await self._stop(single)
            await self._keep(single, wanted=False)
        return single

    async def remove(self, single_id: str) -> None:
        """End it and forget it, with its files. NotFound."""
        single = self.get(single_id)
        async with single.turn:
            self.get(single_id)  # or somebody else removed it meanwhile
            await self._stop(single)
            with suppress(NotFound):
                await self._with.workspaces.forget(single.holder)
            await asyncio.to_thread((self._folder / f"{single_id}.json").unlink, missing_ok=True)
            del self._singles[single_id]

    async def remember(self, single_id: str, extra: Mapping[str, Any]) -> None:
        """Keep this with it instead of what was kept."""
        single = self.get(single_id)
        async with single.turn:
            await self._keep(single, extra=extra)

    # what the engine's news mean here

    def end_outgrown(self) -> None:
        """Those whose files no disk of their own holds back, once they are too much: no execution of ours can be ended for it."""
        for single in self._singles.values():
            if single.lease is not None and single.lease.workspace.outgrown:
                self.stock.end(single.lease.box, "full")

    def engine_failed(self, error: AgentrtError) -> None: ...

    def engine_answers(self) -> None:
        self.stock.clear_stuck()

    # starting and stopping

    async def _restart(self, single: Single) -> None:
        try:
            await self.start(single.id)
        except (AgentrtError, OSError) as exc:
            log.warning("vm.not_started", vm=single.id, reason=str(exc))

    async def _start(self, single: Single) -> None:
        single.starting, single.trouble = True, ""
        try:
            async with asyncio.timeout(_CLEARED_S):
                await self._cleared.wait()
            async with self._starting:
                single.lease = await self._bring_up(single)
        except TimeoutError:
            single.trouble = "what an earlier start left behind is not cleared yet"
            raise TimedOut(single.trouble) from None
        except (AgentrtError, OSError) as exc:
            single.trouble = str(exc)
            raise
        finally:
            single.starting = False

    async def _bring_up(self, single: Single) -> Lease:
        if (leaving := self.stock.leaving.get(single.holder)) is not None:
            await leaving.cleared.wait()
        box = self.stock.new(single.record.spec.image)
        try:
            await self._fit(box, single)
        except BaseException:
            self.stock.end(box, "failed")
            raise
        lease = self._lease(single, box)
        self.stock.lease(lease)
        return lease

    def _lease(self, single: Single, box: Box) -> Lease:
        assert box.workspace is not None
        given = (single.id, box, single.holder, box.workspace, {})
        ends = {"engine": self._with.engine, "clock": self._with.clock}
        return Lease(*given, **ends, expires_s=_FOREVER_S, on_rest=lambda lease: None)

    async def _fit(self, box: Box, single: Single) -> None:
        spec, workspaces = single.record.spec, self._with.workspaces
        recipe = Recipe(POOL, command=(), preload=(), limits=spec.limits, timeout_s=_READY_S)
        box.workspace = workspace = await workspaces.open(single.holder)
        box.slot = slot = self._with.slots.take(box.id)
        mounts = later_mounts(slot) if workspaces.can_mount else fixed_mounts(slot, workspace.path, {})
        await self.stock.stand(box, lambda: self._with.starter.start(box, recipe, mounts))
        box.states.move("creating", 0, "leased")
        if workspaces.can_mount:
            await workspace.attach(slot.workspace, slot.uid)
        if not box.alive:
            await workspace.detach(slot.workspace)
            raise gone(single.id, box.why)

    async def _stop(self, single: Single) -> None:
        lease, single.lease, single.trouble = single.lease, None, ""
        if lease is not None:
            self.stock.end(lease.box, "released")
            await lease.box.cleared.wait()

    # records

    async def _keep(self, single: Single, **changes: Any) -> None:
        single.record = msgspec.structs.replace(single.record, **changes)
        await asyncio.to_thread(self._write, single.record)

    def _write(self, record: SingleRecord) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / f"{record.id}.json"
        part = file.with_suffix(".part")
        with part.open("wb") as out:
            out.write(msgspec.json.encode(record))
            os.fsync(out.fileno())
        part.replace(file)

    def _load(self) -> None:
        for file in sorted(self._folder.glob("vm_*.json")):
            try:
                record = msgspec.json.decode(file.read_bytes(), type=SingleRecord)
            except msgspec.DecodeError as exc:
                log.warning("vm.record_unreadable", file=file.name, reason=str(exc))
                continue
            if is_id("vm", record.id):
                self._singles[record.id] = Single(record)
