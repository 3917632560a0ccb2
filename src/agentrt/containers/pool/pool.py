"""Containers of one kind: some kept warm for nobody yet, each bound to one holder once and destroyed afterwards."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from weakref import WeakValueDictionary

from agentrt.kernel import AgentrtError, new_id

from ..spec import PoolSpec
from ..workspaces import Holder, Workspace
from .box import DEATHS, Box
from .idle import Idle
from .lease import Lease
from .refill import Refill
from .share import Shares
from .slots import fixed_mounts
from .stock import Stock
from .supplies import PoolStats, Supplies


class Pool:
    """Its boxes live as long as the block lasts; `stock` is told what the engine says of them. `cleared` is waited for before the
    first of them is started."""

    def __init__(self, name: str, spec: PoolSpec, supplies: Supplies, cleared: asyncio.Event) -> None:
        self.name, self.spec = name, spec
        self._with, self._cleared = supplies, cleared
        self._group = asyncio.TaskGroup()
        self.stock = Stock(name, supplies, self._group)
        self._refill = Refill(name, spec, supplies, self.stock)
        self._idle = Idle(spec, self.stock, self._refill)
        self._shares = Shares(spec.max_per_user, self.stock)
        self._doors: WeakValueDictionary[Holder, asyncio.Lock] = WeakValueDictionary()
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._keepers = [
            self._group.create_task(self._fill(), name=f"fill pool {self.name}"),
            self._group.create_task(self._idle.run(), name=f"idle boxes of pool {self.name}"),
        ]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._refill.close()
        for keeper in self._keepers:
            keeper.cancel()
        await self.stock.end_all()
        await self._group.__aexit__(None, None, None)

    async def _fill(self) -> None:
        await self._cleared.wait()
        await self._refill.run()

    async def acquire(
        self,
        holder: Holder,
        *,
        views: Mapping[str, Path] | None = None,
        expires_s: float | None = None,
    ) -> Lease:
        """The holder's lease: the one it has, or a warm box bound to it now, or one as soon as there is any.

        `views` are folders that it sees read-only from now on (`skills`); None changes nothing. `expires_s` are the idle seconds
        after which it is removed; they count when a box is bound. Exhausted; EngineUnavailable, ImageMissing, other Unavailable.
        """
        if (lease := self.find(holder)) is None:
            door = self._doors.setdefault(holder, asyncio.Lock())
            async with door:
                if (lease := self.find(holder)) is None:
                    with self._shares.one_more(holder):
                        lease = await self._bind(holder, views or {}, expires_s or self.spec.remove_after_s)
        if views is not None and lease.views != views and self._refill.ahead and lease.box.slot is not None:
            self._with.slots.hide(lease.box.slot)
            self._with.slots.show(lease.box.slot, views)
            lease.views = views
        lease.claim()
        return lease

    def find(self, holder: Holder) -> Lease | None:
        """The lease that a holder has, while its box lives."""
        lease = self.stock.by_holder.get(holder)
        return lease if lease is not None and lease.alive else None

    def get(self, lease_id: str) -> Lease:
        """SandboxGone, with the reason where it is remembered."""
        return self.stock.get(lease_id)

    async def release(self, lease_id: str) -> None:
        """Destroy the box, whatever runs in it; the workspace stays. Returns when it is gone. SandboxGone for one that is."""
        box = self.get(lease_id).box
        self.stock.end(box, "released")
        await box.cleared.wait()

    def set_image(self, image: str) -> None:
        """Make boxes from `image` from now on. Those of another one that nobody uses are replaced, others once they are idle;
        their workspaces stay."""
        self._refill.roll(image)
        self._idle.roll()

    def stats(self) -> PoolStats:
        stock = self.stock
        return PoolStats(
            type=self.name,
            warm_instances=len(stock.warm),
            active_instances=len(stock.leases),
            creating_instances=stock.count("creating"),
            max_instances=self.spec.max,
            queue_length=len(self._refill.line),
            image=self._refill.image,
        )

    @property
    def trouble(self) -> str:
        """Why boxes cannot be started right now; empty where they can."""
        error = self._refill.trouble.error
        return error.message if error else ""

    # what the engine's news mean here

    def engine_failed(self, error: AgentrtError) -> None:
        """The engine does not answer: who waits for a box is told."""
        self._refill.failed(error)

    def engine_answers(self) -> None:
        """It does: what it would not remove is removed now, and boxes are started again."""
        self.stock.clear_stuck()
        self._refill.engine_answers()

    # binding

    async def _bind(self, holder: Holder, views: Mapping[str, Path], expires_s: float) -> Lease:
        if (before := self.stock.by_holder.get(holder)) is not None:  # its box hung up, and nobody has said why yet
            await before.obituary()
        if (leaving := self.stock.leaving.get(holder)) is not None:
            await leaving.cleared.wait()
        while True:
            box = await self._refill.take()
            try:
                await self._give(box, holder, views)
            except BaseException as exc:
                self.stock.end(box, "failed")
                if self._refill.ahead and box.why in DEATHS and isinstance(exc, AgentrtError):
                    continue
                raise
            if box.alive:
                return self._lease(box, holder, views, expires_s)
            self.stock.end(box, "failed")  # it died while it was being bound: the next one, then

    async def _give(self, box: Box, holder: Holder, views: Mapping[str, Path]) -> None:
        workspace = await self._with.workspaces.open(holder)
        if not box.alive:
            return await workspace.close()
        box.workspace = workspace  # which closes it, too, from now on
        if self._refill.ahead:
            await self._show(box, workspace, views)
        else:
            await self._start(box, workspace, views)

    async def _show(self, box: Box, workspace: Workspace, views: Mapping[str, Path]) -> None:
        slot = box.slot
        assert slot is not None
        await workspace.attach(slot.workspace, slot.uid)
        if not box.alive:  # and whoever cleared it may have looked before that
            return await workspace.detach(slot.workspace)
        self._with.slots.show(slot, views)

    async def _start(self, box: Box, workspace: Workspace, views: Mapping[str, Path]) -> None:
        box.slot = slot = self._with.slots.take(box.id)
        mounts = fixed_mounts(slot, workspace.path, views)
        try:
            await self.stock.stand(box, lambda: self._with.starter.start(box, self._refill.recipe, mounts))
        except AgentrtError as exc:
            self._refill.failed(exc)
            raise
        self._refill.works()
        box.states.move("creating", 0, "leased")

    def _lease(self, box: Box, holder: Holder, views: Mapping[str, Path], expires_s: float) -> Lease:
        assert box.workspace is not None
        lease = Lease(
            new_id("sbx"),
            box,
            holder,
            box.workspace,
            views,
            engine=self._with.engine,
            expires_s=expires_s,
            clock=self._with.clock,
            on_rest=self._idle.rested,
        )
        self.stock.lease(lease)
        self._idle.leased(lease)
        return lease
