"""Where sandboxes are measured: an engine of this machine with its image, and the service over them as a server has it."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import platformdirs

from agentrt.agents import AgentSpec
from agentrt.bus import Bus
from agentrt.containers import ContainerOptions, EngineUnavailable, ImageNotBuilt, Images, PoolSpec, choose_engine
from agentrt.containers.egress import Grant
from agentrt.containers.engines import Engine
from agentrt.containers.pool import Pool, instance_id
from agentrt.containers.runner import Job
from agentrt.containers.sandboxes import Execution, Held, Sandboxes
from agentrt.containers.station import Station
from agentrt.db import Database
from agentrt.files import Blobs
from agentrt.kernel import Principal, SystemClock
from agentrt.tools import Artifact, Output

# the image that the tests use as well: from the machine's own packages, built once
IMAGES = platformdirs.user_cache_path("agentrt-tests") / "images"
RUN = Path("/run/agentrt")
AGENT = AgentSpec(name="bench")
SETTLE_S, WARM_S = 30.0, 120.0


class NoGround(Exception):
    """Sandboxes cannot be measured here; the message is a sentence."""


class Desk:
    """The service of sandboxes over one pool."""

    def __init__(self, station: Station, sandboxes: Sandboxes, pool: Pool, engine: Engine, instance: str) -> None:
        self.station, self.sandboxes, self.pool = station, sandboxes, pool
        self.engine, self.instance = engine, instance
        self._people = 0

    async def hold(self) -> Held:
        """A sandbox of somebody who never had one."""
        self._people += 1
        return await self.sandboxes.hold(Principal("bench", f"user{self._people}"), "session", AGENT)

    async def execute(self, held: Held, code: str, mode: str = "kernel", **limits: Any) -> Execution:
        """Run code as a tool call does; what it prints goes nowhere."""
        grant = Grant(who=Principal(held.holder.tenant, held.holder.user), run_id="run_bench")
        return await self.sandboxes.execute(held, Job(mode=mode, code=code, **limits), grant=grant, emit=_nowhere)  # pyright: ignore[reportArgumentType]

    async def warm(self, count: int) -> None:
        """Return when so many boxes are warm. NoGround where that takes too long."""
        until = time.monotonic() + WARM_S
        while self.pool.stats().warm_instances < count:
            if time.monotonic() > until:
                raise NoGround(f"the boxes did not get warm: {self.pool.trouble or 'they take too long'}")
            await asyncio.sleep(0.002)


class Ground:
    """`engine` is open; `folder` holds what a server keeps of containers; `scratch` may be written to."""

    def __init__(self, engine: Engine, options: ContainerOptions, image: str, folder: Path, scratch: Path, version: str) -> None:
        self.engine, self.options, self.image, self.folder, self.scratch = engine, options, image, folder, scratch
        self.version = version

    @property
    def where(self) -> str:
        """How another process reaches the engine."""
        return self.options.docker_url if self.engine.name == "docker" else str(self.folder)

    @asynccontextmanager
    async def desk(self, **pool: Any) -> AsyncIterator[Desk]:
        """The service over a pool of these settings; its boxes are gone afterwards."""
        spec = PoolSpec(**{"image": self.image, "refill_per_s": 100, **pool})
        options = ContainerOptions(engine=self.engine.name, docker_url=self.options.docker_url, pools={"code": spec})
        instance = instance_id(self.folder)
        clock = SystemClock()
        try:
            async with Station(options, self.folder, clock, Bus(), None, settle_s=SETTLE_S) as station:
                station.begin()
                blobs = Blobs(self.scratch / "blobs", Database(f"sqlite+aiosqlite:///{self.scratch}/blobs.db"), clock)
                sandboxes = Sandboxes(station, blobs, clock, lambda agent: {})
                yield Desk(station, sandboxes, await station.pool("code"), self.engine, instance)
        finally:
            remove_runtime(RUN / instance)


async def engines_here(first: Ground) -> AsyncIterator[Ground]:
    """`first`, and another one for the other engine where that is here too."""
    yield first
    other = "bubblewrap" if first.engine.name == "docker" else "docker"
    try:
        async with ground(other, first.scratch) as second:
            yield second
    except NoGround as exc:
        print(f"{other} is left out: {exc}", flush=True)


@asynccontextmanager
async def ground(wanted: str, scratch: Path) -> AsyncIterator[Ground]:
    """The engine `wanted` (auto, docker, bubblewrap) with the image, built where it is missing. NoGround."""
    folder = scratch / f"containers-{wanted}"
    folder.mkdir()
    IMAGES.mkdir(parents=True, exist_ok=True)
    (folder / "images").symlink_to(IMAGES)
    options = ContainerOptions(engine=wanted, docker_url=os.environ.get("DOCKER_HOST", ContainerOptions().docker_url))  # pyright: ignore[reportArgumentType]
    try:
        async with await choose_engine(options, folder) as engine:
            status = await engine.probe()
            image = await Images(IMAGES, options, engine.name).build(lambda line: print(f"image: {line}", flush=True), "host")
            yield Ground(engine, options, image, folder, scratch, f"{engine.name} {status.version}")
    except (EngineUnavailable, ImageNotBuilt) as exc:
        raise NoGround(exc.message) from exc


def remove_runtime(runtime: Path) -> None:
    """The folder of an instance that is over. What is mounted in it is not looked into: nothing is removed then."""
    if not any(line.split()[4].startswith(f"{runtime}/") for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        shutil.rmtree(runtime, ignore_errors=True)


async def _nowhere(what: Output | Artifact) -> None: ...
