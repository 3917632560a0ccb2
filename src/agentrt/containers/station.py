"""The engine of this machine with its image and its pools: brought up behind the healthy server, and kept up."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog

from agentrt.bus import Bus, SandboxesChanged
from agentrt.kernel import AgentrtError, Clock, HealthStatus, NotFound, delay

from .egress import Egress
from .engines import IMAGE_NAME, Engine, EngineStatus, Mount, choose_engine
from .errors import EngineUnavailable, ImageMissing
from .images import ImageKeeper, Images
from .packages import WHEELS
from .pool import Pool, Pools, PoolStats, Single, Singles, instance_id
from .spec import ContainerOptions, PoolSpec
from .workspaces import Size, Workspaces

log = structlog.get_logger()

RUN = Path("/run/agentrt")
TOOLS = "/tools"
_LOOK_S, _BUILDING_S, _MOST_S = 15.0, 1.0, 60.0
_STARTING = "the container engine is still being looked for"
_OFF = "containers.engine is none in the settings, so no code runs here"


def runtime_of(folder: Path) -> Path:
    """Where the server with this containers' folder keeps what shows inside boxes, by names that say nothing. OSError."""
    return RUN / instance_id(folder) if os.geteuid() == 0 else folder / "run"


class _Up(msgspec.Struct):
    """What runs while the engine is there. The pools come once there is an image for any of them."""

    engine: Engine
    status: EngineStatus
    keeper: ImageKeeper
    workspaces: Workspaces
    runtime: Path
    instance: str
    pools: Pools | None = None


class Station:
    """An async context manager that opens at once. `settle_s` bounds how long a turn waits for what is still being found out."""

    def __init__(
        self, options: ContainerOptions, folder: Path, clock: Clock, bus: Bus, outlet: Egress | None, *, settle_s: float = 5.0
    ) -> None:
        self._options, self._folder, self._clock, self._bus = options, folder, clock, bus
        self.outlet, self._settle_s = outlet, settle_s
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._found_out = asyncio.Event()
        self._up: _Up | None = None
        self._why = _OFF if options.engine == "none" else _STARTING
        self._tag, self._image_why = "", ""

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        if self._options.engine == "none":
            self._found_out.set()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing = True
        if self._task is not None:
            self._task.cancel()
        await self._group.__aexit__(None, None, None)

    def begin(self) -> None:
        """Look for an engine from now on, behind whatever else goes on. Once."""
        if self._options.engine != "none":
            self._task = self._group.create_task(self._keep(), name="container engine")

    # what callers ask

    async def pool(self, name: str) -> Pool:
        """NotFound; EngineUnavailable, ImageMissing with what to do about it."""
        await self.settled()
        if name not in self._options.pools:
            raise NotFound(f"there is no pool {name[:64]!r}; there are {', '.join(self._options.pools)}", code="pool_not_found")
        pools = self._there().pools
        if pools is None or self._lacks_image(name):
            raise ImageMissing(self._image_why, retry_after_s=15)
        return pools[name]

    def open_pools(self) -> Sequence[Pool]:
        return self._up.pools.all() if self._up and self._up.pools else ()

    @property
    def workspaces(self) -> Workspaces:
        """EngineUnavailable, with what to do about it."""
        return self._there().workspaces

    @property
    def singles(self) -> Singles:
        """Containers that are not pooled. EngineUnavailable, ImageMissing."""
        if (pools := self._there().pools) is None:
            raise ImageMissing(self._image_why, retry_after_s=15)
        return pools.singles

    def running_singles(self) -> Sequence[Single]:
        """Those that run now."""
        there = self._up.pools.singles.all() if self._up and self._up.pools else ()
        return [single for single in there if single.state == "running"]

    @property
    def image(self) -> str:
        """What code runs on where nothing else is asked for. ImageMissing."""
        if not self._tag:
            raise ImageMissing(self._image_why, retry_after_s=15)
        return self._tag

    async def images(self) -> Sequence[str]:
        """References of the images that people may name: of those that the engine has, our own and what the settings name. What
        else the machine runs may hold secrets of its operator. EngineUnavailable."""
        up, named = self._there(), {pool.image for pool in self._options.pools.values()}
        return [ref for ref in await up.engine.images() if ref in named or ref.startswith(f"{IMAGE_NAME}:")]

    async def settled(self) -> None:
        """Wait a bounded time until it is known whether code can run."""
        if self._found_out.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settle_s):
                await self._found_out.wait()

    def obstacle(self, pool: str) -> str:
        """Why no code can run in this pool now; empty where it can."""
        if self._up is None:
            return self._why
        if pool not in self._options.pools:
            return f"the settings have no pool {pool[:64]!r}"
        return self._lacks_image(pool)

    def _there(self) -> _Up:
        if self._up is None:
            raise EngineUnavailable(self._why, retry_after_s=5)
        return self._up

    def _lacks_image(self, pool: str) -> str:
        return "" if self._options.pools[pool].image else self._image_why

    @property
    def answers(self) -> bool:
        """Whether an engine answers."""
        return self._up is not None and not self._engine_error()

    @property
    def health(self) -> HealthStatus:
        nobody_asked = self._options.engine in ("auto", "none")
        if self._up is None:
            return "starting" if self._why == _STARTING else "off" if nobody_asked else "degraded"
        if self._up.keeper.state in ("starting", "building"):
            return "starting"
        if self._image_why:
            return "off" if nobody_asked and self._up.keeper.state == "missing" else "degraded"
        return "degraded" if not self.answers or self._trouble() else "ok"

    def detail(self) -> dict[str, Any]:
        """What `/health` shows."""
        if self._up is None:
            return {"engine": None, "reason": self._why}
        up = self._up
        told: dict[str, Any] = {
            "engine": up.engine.name,
            "version": up.status.version,
            "image": self._image_why or up.keeper.detail,
            "pools": {stats.type: _shown(stats) for stats in (pool.stats() for pool in self.open_pools())},
        }
        if reason := self._engine_error() or self._trouble():
            told["reason"] = reason
        return told

    def _engine_error(self) -> str:
        return self._up.pools.engine_error if self._up and self._up.pools else ""

    def _trouble(self) -> str:
        disk = self._up.workspaces.trouble if self._up else ""
        return disk or next((pool.trouble for pool in self.open_pools() if pool.trouble), "")

    # bringing it up, and keeping it

    async def _keep(self) -> None:
        failures = 0
        while not self._closing:  # what goes wrong at the end may take the place of the cancel
            try:
                async with AsyncExitStack() as stack:
                    up = await self._bring_up(stack)
                    failures = 0
                    stack.callback(self._gone)
                    await self._look_after(up, stack)
            except (AgentrtError, OSError) as exc:
                failures += 1
                self._fail(exc)
            except Exception as exc:  # whatever is wrong with containers, the server serves all else
                log.exception("containers.crashed")
                failures += 1
                self._fail(exc)
            if not self._closing:
                await asyncio.sleep(min(_MOST_S, 2 * delay(failures, most=_MOST_S)))

    async def _bring_up(self, stack: AsyncExitStack) -> _Up:
        options, folder = self._options, self._folder
        engine = await stack.enter_async_context(await choose_engine(options, folder))
        status = await engine.probe()
        if not status.ok:
            raise EngineUnavailable(status.detail)
        images = Images(folder / "images", options, engine.name)
        keeper = await stack.enter_async_context(ImageKeeper(images, build=options.build_image))
        instance = await asyncio.to_thread(instance_id, folder)
        runtime = await asyncio.to_thread(runtime_of, folder)
        sizes = {name: Size(pool.limits.disk_mb, pool.limits.inodes) for name, pool in options.pools.items()}
        usual = next(iter(options.pools.values()), PoolSpec()).limits
        workspaces = await stack.enter_async_context(
            Workspaces(
                folder / "workspaces",
                runtime,
                disk_mb=usual.disk_mb,
                inodes=usual.inodes,
                sizes=sizes,
                keep_s=options.keep_workspaces_s,
                keep_free_mb=options.keep_free_mb,
                clock=self._clock,
            )
        )
        up = _Up(engine, status, keeper, workspaces, runtime, instance)
        await self._look_for_image(keeper)
        await self._open_pools(up, stack)
        log.info("containers.ready", engine=engine.name, version=status.version, image=self._image_why or keeper.detail)
        self._up, self._why = up, ""
        self._tell()
        return up

    async def _open_pools(self, up: _Up, stack: AsyncExitStack) -> None:
        """Once there is an image for any of them."""
        options = self._options
        if not self._tag and not any(pool.image for pool in options.pools.values()):
            return
        pools = Pools(
            options.pools,
            up.engine,
            up.workspaces,
            up.runtime,
            up.instance,
            self._clock,
            self._bus,
            extra_mounts=self._mounts(),
            outlet=self.outlet,
            singles=self._folder / "vms",
        )
        pools.set_image(self._tag)
        up.pools = await stack.enter_async_context(pools)

    async def _look_after(self, up: _Up, stack: AsyncExitStack) -> None:
        """Follow the image: what is built from now on is used from now on."""
        while True:
            await asyncio.sleep(_BUILDING_S if up.keeper.state == "building" else _LOOK_S)
            before = (self._tag, self._image_why)
            if up.keeper.state != "building":
                up.keeper.forget()
            await self._look_for_image(up.keeper)
            if (self._tag, self._image_why) == before:
                continue
            if up.pools is None:
                await self._open_pools(up, stack)
            else:
                up.pools.set_image(self._tag)
            self._tell()

    async def _look_for_image(self, keeper: ImageKeeper) -> None:
        try:
            self._tag, self._image_why = await keeper.reference(), ""
        except ImageMissing as exc:
            self._image_why = exc.message
        except AgentrtError as exc:
            log.warning("image.not_found_out", reason=exc.message)

    def _mounts(self) -> tuple[Mount, ...]:
        """EngineUnavailable where the settings name a folder that is not there."""
        mounts = []
        for name, target in (("tools_dir", TOOLS), ("wheels_dir", WHEELS)):
            if source := getattr(self._options, name):
                if not Path(source).is_dir():
                    raise EngineUnavailable(f"containers.{name} of the settings names no folder")
                mounts.append(Mount(source=Path(source).resolve(), target=target))
        return tuple(mounts)

    def _fail(self, exc: Exception) -> None:
        why = f"containers cannot be prepared: {getattr(exc, 'strerror', None) or 'the log of the server says more'}"
        if isinstance(exc, AgentrtError):
            why = exc.message
        if why != self._why:
            log.warning("containers.unavailable", reason=why)
        self._why = why
        self._tell()

    def _gone(self) -> None:
        self._up = None

    def _tell(self) -> None:
        self._found_out.set()
        self._bus.publish(SandboxesChanged())


def _shown(stats: PoolStats) -> dict[str, Any]:
    return {
        "warm": stats.warm_instances,
        "active": stats.active_instances,
        "creating": stats.creating_instances,
        "max": stats.max_instances,
    }
