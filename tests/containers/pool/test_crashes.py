"""kill -9 at any step leaves nothing behind once the server has started again, and loses no file."""

import os
from pathlib import Path

import pytest

from agentrt.bus import Bus
from agentrt.containers.engines import INSTANCE_LABEL, Engine
from agentrt.containers.pool import Pools
from agentrt.containers.workspaces import Holder, Workspaces
from agentrt.kernel import SystemClock
from fixtures.paper_engine import folders

from .crashing import INSTANCE, rounds

pytestmark = pytest.mark.anyio

KILLS = int(os.environ.get("AGENTRT_TEST_KILLS", "8"))


def cgroups_of(boxes: set[str]) -> list[str]:
    """Control groups that carry a box's name, wherever they are."""
    found = []
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(folder, name) for name in names if name in boxes]
    return found


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if f"{folder}/" in line and not line.split()[4].endswith(("/ws", "/slots"))]


@pytest.mark.timeout(60 + 4 * KILLS)
async def test_nothing_is_left_of_a_server_that_was_killed_at_any_step(
    engine: Engine, sandbox_image: str, home: Path, where: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    runtime = home / "run" / INSTANCE
    seen, wrote = rounds(KILLS, engine.name, where, home, sandbox_image)
    assert seen and wrote, "it was killed before it did anything"
    async with Workspaces(home / "ws", runtime, disk_mb=8, inodes=100) as workspaces:
        async with Pools({}, engine, workspaces, runtime, INSTANCE, SystemClock(), Bus()) as pools:
            await pools.cleared.wait()
            assert await engine.list({INSTANCE_LABEL: INSTANCE}) == []
            assert folders(runtime) == ["runner"] and cgroups_of(seen) == []
        assert folders(runtime) == []
        for number in wrote:
            workspace = await workspaces.open(Holder(user=f"user{number}"))
            assert workspace.tree.read("kept") == b""
            await workspace.close()
    assert mounts_below(home) == []
    if engine.name == "bubblewrap":
        assert list((Path(where) / "boxes").glob("*/box.json")) == []
