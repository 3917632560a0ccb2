import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from agentrt.containers.mounts import unmount_below
from agentrt.containers.workspaces import Tree, Workspaces, umount_stale

Open = Callable[..., AbstractAsyncContextManager[Workspaces]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """A plain folder as a workspace; beside it lies a secret that nobody may reach."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "files").mkdir()
    tree = Tree(tmp_path / "files")
    yield tree
    tree.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder below which mounts and loop devices are cleared away whatever a test left, and looked for."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    yield tmp_path
    umount_stale(tmp_path / "run")
    unmount_below(tmp_path, itself=True)
    deadline = time.monotonic() + 30
    while (left := bound_below(tmp_path)) and time.monotonic() < deadline:
        os.sched_yield()  # the kernel frees a device a moment after it was unmounted last
    assert left == []


def bound_below(folder: Path) -> list[str]:
    """Images below a folder that are bound to a device."""
    images = map(str, folder.rglob("volume.img"))
    return [image for image in images if subprocess.run(["losetup", "-j", image], capture_output=True, check=True).stdout]


@pytest.fixture
def open_(home: Path) -> Open:
    """The same workspaces again on every opening, as a server that is started again and again."""

    @asynccontextmanager
    async def opened(**options: object) -> AsyncIterator[Workspaces]:
        given = {"disk_mb": 16, "inodes": 500} | options
        async with asyncio.timeout(50), Workspaces(home / "ws", home / "run", **given) as found:
            yield found

    return opened
