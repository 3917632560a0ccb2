import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from agentrt.bus import Bus
from agentrt.containers import PoolSpec
from agentrt.containers.engines import INSTANCE_LABEL, Engine
from agentrt.containers.mounts import unmount_below
from agentrt.containers.pool import Pools
from agentrt.containers.workspaces import Holder, Workspaces, umount_stale
from agentrt.kernel import SystemClock
from fixtures.paper_engine import PaperEngine, folders

Open = Callable[..., AbstractAsyncContextManager[Pools]]
PAPER = "agentrt-sandbox:paper"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder below which nothing stays mounted, whatever a test did."""
    yield tmp_path
    if os.geteuid() == 0:
        umount_stale(tmp_path / "run")
        unmount_below(tmp_path, itself=True)
    deadline = time.monotonic() + 30
    while loops_of(tmp_path) and time.monotonic() < deadline:  # freed by the kernel a moment after the last unmount
        os.sched_yield()
    assert loops_of(tmp_path) == []


def loops_of(folder: Path) -> list[str]:
    """Loop devices over files below `folder`."""
    found = []
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # freed while we looked
            if entry.read_text().startswith(f"{folder}/"):
                found.append(entry.parts[3])
    return found


@pytest.fixture
def paper() -> PaperEngine:
    return PaperEngine()


@pytest.fixture
def open_(home: Path, paper: PaperEngine) -> Open:
    """Pools as a server opens them; `spec` is of the pool `code`. When they close, nothing of any box may be left."""

    @asynccontextmanager
    async def opened(
        engine=paper,
        *,
        bus: Bus | None = None,
        look_s: float = 10.0,
        mounting: bool = True,
        clean: bool = True,
        mounts=(),
        outlet=None,
        singles: Path | None = None,
        within_s: float = 50.0,
        **spec,
    ) -> AsyncIterator[Pools]:
        settings = PoolSpec(**({"image": PAPER, "min": 0, "max": 8, "refill_per_s": 100} | spec))
        runtime = home / "run" / "one"
        async with asyncio.timeout(within_s), Workspaces(home / "ws", runtime, disk_mb=8, inodes=100) as workspaces:
            workspaces.can_mount = workspaces.can_mount and mounting
            given = ({"code": settings}, engine, workspaces, runtime, "instance1", SystemClock(), bus or Bus())
            async with Pools(*given, extra_mounts=mounts, outlet=outlet, look_s=look_s, singles=singles or home / "vms") as pools:
                yield pools
        if clean:
            assert folders(runtime) == []

    return opened


def user(name: str) -> Holder:
    return Holder(user=name, session="s")


async def until(true: Callable[[], bool]) -> None:
    """Until it is so; a test's time limit is the end of it."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def warm(pools: Pools, count: int) -> None:
    """Until so many boxes are warm."""
    await until(lambda: pools["code"].stats().warm_instances >= count)


@pytest.fixture
def where(engine: Engine, request: pytest.FixtureRequest) -> str:
    """How another process reaches this test's engine."""
    return str(request.getfixturevalue("docker_url" if engine.name == "docker" else "bubblewrap_folder"))


@pytest.fixture
async def real(
    engine: Engine, sandbox_image: str, open_: Open
) -> AsyncIterator[Callable[..., AbstractAsyncContextManager[Pools]]]:
    """Pools on a real engine; the engine has none of their boxes at the end."""

    def opened(**options: object) -> AbstractAsyncContextManager[Pools]:
        return open_(engine, **({"image": sandbox_image, "min": 1, "max": 4} | options))

    yield opened
    assert await engine.list({INSTANCE_LABEL: "instance1"}) == []
