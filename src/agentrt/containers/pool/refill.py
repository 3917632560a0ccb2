"""Keeps as many boxes warm as the settings say, and gets one for everybody who waits."""

import asyncio
import time
from contextlib import suppress

import structlog

from agentrt.kernel import AgentrtError, Exhausted, Unavailable

from ..errors import EngineUnavailable
from ..spec import PoolSpec
from .box import DEATHS, Box
from .slots import later_mounts
from .starting import Recipe
from .stock import Stock
from .supplies import Supplies
from .trouble import Trouble
from .waiting import WaitingLine

log = structlog.get_logger()

FAILURES = (AgentrtError, OSError)
_AT_ONCE = 2
_LOOK_AGAIN_S = 0.25


class Refill:
    """`run` is its life. `image` is what new boxes are made from. `ahead` is False where a box can only be made for a holder
    that is known, because nothing can be mounted into it later: then who waits is served with a box that it starts itself."""

    def __init__(self, name: str, spec: PoolSpec, supplies: Supplies, stock: Stock) -> None:
        self.image, self.ahead = spec.image, supplies.workspaces.can_mount
        self._name, self._spec, self._with, self._stock = name, spec, supplies, stock
        self.line = WaitingLine(spec.queue, spec.queue_wait_s, self._unclaimed)
        self.trouble = Trouble()
        self.closing = False
        self.recipe = Recipe(name, command=spec.command, preload=spec.preload, limits=spec.limits, timeout_s=spec.start_timeout_s)
        self._starting = asyncio.Semaphore(_AT_ONCE)
        self._next_start = 0.0

    async def take(self) -> Box:
        """A box that is the caller's from now on, in turn. Exhausted; why boxes cannot be started."""
        if self.closing:
            raise Unavailable("the server is stopping", code="server_shutting_down")
        self._stock.changed.set()
        if not self.line and (box := self._stock.take_warm()) is not None:
            return box
        if (error := self.trouble.told()) is not None:
            raise error
        return await self.line.wait(self._full)

    def close(self) -> None:
        self.closing = True
        self.line.refuse(Unavailable("the server is stopping", code="server_shutting_down"))

    def roll(self, image: str) -> None:
        """Make boxes from this image, and none of the old one's stay warm."""
        self.image = image
        self.trouble.clear()
        for box in list(self._stock.warm):
            if box.image != image:
                self._stock.end(box, "rolled")
        self._stock.changed.set()

    def failed(self, error: Exception) -> None:
        """A box could not be started: who waits is told, where waiting is of no use."""
        self.trouble.note(error)
        if self.trouble.certain and self.trouble.error is not None:
            self.line.refuse(self.trouble.error)

    def works(self) -> None:
        """A box was started, or the engine answers again."""
        if self.trouble.clear():
            log.info("pool.recovered", pool=self._name)
            self._stock.changed.set()

    def engine_answers(self) -> None:
        """What kept boxes from being started is over, if it was the engine."""
        if isinstance(self.trouble.error, EngineUnavailable):
            self.works()

    async def run(self) -> None:
        while True:
            self._stock.changed.clear()
            again = self._once()
            with suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await self._stock.changed.wait()

    def _once(self) -> float | None:
        """Do what is due; in how many seconds to look again even if nothing changed."""
        self._serve()
        room = self._spec.max - len(self._stock.boxes)
        if not self.ahead:
            return self._make_room(len(self.line) - room)
        if wait := self.trouble.retry_in():
            return wait
        making = self._stock.count("creating")
        lacking = max(0, len(self.line) + self._spec.min - len(self._stock.warm) - making)
        fresh = max(0, min(lacking, room, 1 - making if self.trouble.error else lacking))
        for _ in range(fresh):
            self._begin(self._stock.new(self.image))
        return self._make_room(len(self.line) - making - fresh)

    def _serve(self) -> None:
        while self.line and (box := self._stock.take_warm()) is not None:
            if not self.line.serve(box):
                self._unclaimed(box)
        while not self.ahead and self.line and len(self._stock.boxes) < self._spec.max:
            box = self._stock.new(self.image)
            if not self.line.serve(box):
                self._unclaimed(box)

    def _make_room(self, short: int) -> float | None:
        """End the leases that were not used for longest, as many as are `short`; those in use are left alone."""
        short -= self._stock.count("failed", "draining")
        if short <= 0:
            return None
        now = time.monotonic()
        spare = sorted((lease for lease in self._stock.leases.values() if lease.spare(now)), key=lambda lease: lease.used_at)
        for lease in spare[:short]:
            self._stock.end(lease.box, "evicted")
        return _LOOK_AGAIN_S

    def _begin(self, box: Box) -> None:
        self._stock.run(box, lambda: self._make(box))

    async def _make(self, box: Box) -> None:
        """Start a box for whoever comes, then watch it."""
        try:
            async with self._starting:
                await self._pace()
                await self.start_ahead(box)
        except FAILURES as exc:
            if self._stock.end(box, "failed") or box.why in DEATHS:
                log.warning("box.not_started", pool=self._name, reason=str(exc))
                self.failed(exc)
            return
        self.works()
        if box.image != self.image:
            self._stock.end(box, "rolled")
        elif box.states.move("creating", 0, "warm"):
            self._stock.warm.append(box)
            self._stock.changed.set()
            await self._stock.watch(box)

    async def start_ahead(self, box: Box) -> None:
        box.slot = self._with.slots.take(box.id)
        await self._with.workspaces.prepare(box.slot.uid)
        await self._with.starter.start(box, self.recipe, later_mounts(box.slot))

    async def _pace(self) -> None:
        now = time.monotonic()
        pause = max(0.0, self._next_start - now)
        self._next_start = max(now, self._next_start) + 1 / self._spec.refill_per_s
        await asyncio.sleep(pause)

    def _unclaimed(self, box: Box) -> None:
        self._stock.end(box, "released")

    def _full(self, why: str) -> Exhausted:
        full = len(self._stock.leases) >= self._spec.max
        state = f"all {self._spec.max} containers of the pool {self._name!r} are in use"
        last = f" (the last start failed: {self.trouble.error.message})" if self.trouble.error else ""
        return Exhausted(
            f"{state if full else f'no container of the pool {self._name!r} is ready'}, and {why}{last}",
            code="pool_exhausted",
            retry_after_s=max(1.0, len(self.line) / self._spec.refill_per_s),
        )
