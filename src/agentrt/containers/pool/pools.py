"""The pools of a server, and what keeps them true to what the engine says."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import structlog

from agentrt.bus import Bus
from agentrt.kernel import AgentrtError, Clock, NotFound, delay

from ..engines import INSTANCE_LABEL, Engine, Mount
from ..errors import EngineUnavailable
from ..spec import PoolSpec
from ..workspaces import Workspaces, umount_stale
from .lending import Lender
from .outlet import NoOutlet, Outlet
from .pool import Pool
from .reconcile import reconcile
from .singles import Singles
from .slots import Slots, remove_runtime
from .starting import Starter
from .supplies import Supplies

log = structlog.get_logger()

_LOOK_S = 10.0
_MOST_S = 5.0


class Pools:
    """One Pool for each kind of container. It opens at once: what an earlier server left is cleared behind it, and boxes are
    started after that. Closing it removes every box; workspaces stay."""

    def __init__(
        self,
        specs: Mapping[str, PoolSpec],
        engine: Engine,
        workspaces: Workspaces,
        runtime: Path,
        instance: str,
        clock: Clock,
        bus: Bus,
        *,
        extra_mounts: Sequence[Mount] = (),
        outlet: Outlet | None = None,
        singles: Path | None = None,
        look_s: float = _LOOK_S,
    ) -> None:
        self._engine, self._runtime, self._instance, self._look_s = engine, runtime, instance, look_s
        self._can_mount = workspaces.can_mount
        slots = Slots(runtime, distinct=self._can_mount)
        outlet, lender = outlet or NoOutlet(), Lender(extra_mounts, runtime, can_mount=self._can_mount)
        self._starter = Starter(engine, slots, runtime, instance, lender, outlet)
        self._supplies = Supplies(engine=engine, workspaces=workspaces, slots=slots, starter=self._starter, clock=clock, bus=bus)
        self.cleared = asyncio.Event()
        self._pools = {name: Pool(name, spec, self._supplies, self.cleared) for name, spec in specs.items()}
        self.singles = Singles(singles or runtime / "vms", self._supplies, self.cleared)
        """Boxes that are not pooled; their records are in the folder `singles`."""
        self._keepers: Sequence[Pool | Singles] = (*self._pools.values(), self.singles)
        self._stack = AsyncExitStack()
        self._failures = 0
        self.engine_error = ""
        """Why the engine does not answer; empty while it does."""

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._leave_nothing)
        for pool in self._keepers:
            await self._stack.enter_async_context(pool)
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        for work, name in ((self._keep_true(), "truth of the pools"), (self._follow(), "ends of boxes")):
            self._stack.callback(group.create_task(work, name=name).cancel)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def __getitem__(self, name: str) -> Pool:
        """NotFound, which names those that there are."""
        pool = self._pools.get(name)
        if pool is None:
            raise NotFound(f"there is no pool {name!r}; there are {', '.join(self._pools) or 'none'}", code="pool_not_found")
        return pool

    def all(self) -> Sequence[Pool]:
        return list(self._pools.values())

    def set_image(self, image: str) -> None:
        """A newer image is there: pools whose settings name none go over to it."""
        for pool in self._pools.values():
            if not pool.spec.image:
                pool.set_image(image)

    async def _follow(self) -> None:
        while True:
            try:
                async for end in self._engine.ended():
                    for pool in self._keepers:
                        pool.stock.ended(end.id, end.reason)
            except (AgentrtError, OSError) as exc:
                log.warning("engine.not_followed", reason=str(exc))
            except Exception:  # a mistake in there must not take the server with it; the list tells the same, later
                log.exception("engine.not_followed")
            await asyncio.sleep(_MOST_S)

    async def _keep_true(self) -> None:
        """Clear up once, then compare again and again; sooner while the engine does not answer."""
        while True:
            try:
                await (self._compare() if self.cleared.is_set() else self._clear())
            except (AgentrtError, OSError) as exc:
                self._failed(exc)
                await asyncio.sleep(min(self._look_s, delay(self._failures, most=_MOST_S)))
            else:
                self._answers()
                await asyncio.sleep(self._look_s)

    async def _leave_nothing(self) -> None:
        await asyncio.to_thread(self._starter.uninstall)
        if self._can_mount:
            await asyncio.to_thread(umount_stale, self._runtime)
        remove_runtime(self._runtime)

    async def _clear(self) -> None:
        await reconcile(self._engine, self._runtime, self._instance, can_mount=self._can_mount)
        await asyncio.to_thread(self._starter.install)
        self.cleared.set()

    async def _compare(self) -> None:
        """What we hold to be there but is not has died; what is there unknown to us is nobody's."""
        standing = [(pool.stock, pool.stock.standing()) for pool in self._keepers]
        found = await self._engine.list({INSTANCE_LABEL: self._instance})
        running = {box.id for box in found if box.state != "exited"}
        for stock, expected in standing:
            for box_id in expected - running:
                stock.ended(box_id, "killed")
        self.singles.end_outgrown()
        for box in found:
            if not any(box.id in pool.stock.boxes for pool in self._keepers):
                log.warning("box.stray", box=box.id)
                await self._engine.remove(box.id)

    def _failed(self, exc: Exception) -> None:
        self._failures += 1
        error = exc if isinstance(exc, AgentrtError) else EngineUnavailable(f"what was left behind cannot be cleared: {exc}")
        if not self.engine_error:
            log.warning("engine.unavailable", reason=error.message)
        self.engine_error = error.message
        for pool in self._keepers:
            pool.engine_failed(error)

    def _answers(self) -> None:
        if self.engine_error:
            log.info("engine.answers")
        self._failures, self.engine_error = 0, ""
        for pool in self._keepers:
            pool.engine_answers()
