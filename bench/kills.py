"""What is left of servers with a busy pool that are killed at random moments."""

import asyncio
import os
import random
import re
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from agentrt.bus import Bus
from agentrt.containers.engines import INSTANCE_LABEL
from agentrt.containers.pool import Pools
from agentrt.containers.workspaces import Holder, Workspaces
from agentrt.kernel import NotFound, SystemClock

from .ground import Ground, NoGround
from .load import HERE
from .scenarios import Figures

# a server with users who come and go: ENGINE WHERE HOME IMAGE INSTANCE; it says "open" when it is, "wrote N" for a kept file
VICTIM = HERE.parent / "tests" / "containers" / "pool" / "crashing.py"
KILLS = int(os.environ.get("SANDBOX_KILLS", "100"))
BOX_ID = re.compile("[0-9a-f]{16}")
LONGEST_S, OPENS_S = 1.2, 60.0


class Lane(msgspec.Struct):
    """One server after another, over the same folders."""

    home: Path
    instance: str
    seen: set[str] = msgspec.field(default_factory=set)
    wrote: set[int] = msgspec.field(default_factory=set)

    @property
    def runtime(self) -> Path:
        return self.home / "run" / self.instance


async def kills(ground: Ground) -> Figures:
    # Docker is slow enough that two take their turns beside each other; bubblewrap's records are of one server
    count = 2 if ground.engine.name == "docker" else 1
    lanes = [Lane(ground.scratch / f"lane{number}", f"kills{secrets.token_hex(4)}") for number in range(count)]
    left: list[str] = []
    lost, late = 0, False
    try:
        async with asyncio.TaskGroup() as group:
            for number, lane in enumerate(lanes):
                group.create_task(_kill(ground, lane, KILLS // count + (number < KILLS % count)))
    except* TimeoutError:
        late = True
    finally:  # also when it was cut off: the next start is what clears up
        for lane in lanes:
            found, missing = await _next_start(ground, lane)
            left += found
            lost += missing
    if late:
        raise NoGround(f"a server did not open in {OPENS_S:g} s")
    boxes, wrote = (sum(len(getattr(lane, name)) for lane in lanes) for name in ("seen", "wrote"))
    if not boxes or not wrote:
        raise NoGround("the servers were killed before they did anything")
    print(f"{KILLS} servers killed, of {boxes} boxes left: {' '.join(left) or 'nothing'}", flush=True)
    return {"sandbox_left.agentrt": len(left), "sandbox_lost.agentrt": lost, "sandbox_killed_boxes.agentrt": boxes}


async def _kill(ground: Ground, lane: Lane, times: int) -> None:
    lane.home.mkdir()
    for _ in range(times):
        command = (sys.executable, str(VICTIM), ground.engine.name, ground.where, str(lane.home), ground.image, lane.instance)
        server = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert server.stdout is not None
        try:
            async with asyncio.timeout(OPENS_S):
                await server.stdout.readline()
            await asyncio.sleep(random.random() * LONGEST_S)
        finally:
            with suppress(ProcessLookupError):
                server.kill()
        *said, _ = (await server.stdout.read()).split(b"\n")  # what follows the last end of a line is a part of one
        await server.wait()
        lane.wrote |= {int(line.split()[1]) for line in said if line.startswith(b"wrote ")}
        lane.seen |= set(_boxes(lane.runtime))


async def _next_start(ground: Ground, lane: Lane) -> tuple[Sequence[str], int]:
    """What a server that is started once more finds after it has cleared up, and how many files are lost."""
    lost = 0
    async with Workspaces(lane.home / "ws", lane.runtime, disk_mb=8, inodes=100) as workspaces:
        async with Pools({}, ground.engine, workspaces, lane.runtime, lane.instance, SystemClock(), Bus()) as pools:
            async with asyncio.timeout(OPENS_S):
                await pools.cleared.wait()
            left = [f"box {box.id}" for box in await ground.engine.list({INSTANCE_LABEL: lane.instance})]
            left += [f"folder {entry}" for entry in _boxes(lane.runtime)]
            left += [f"control group {path}" for path in await asyncio.to_thread(_control_groups, lane.seen)]
        for number in lane.wrote:
            workspace = await workspaces.open(Holder(user=f"user{number}"))
            try:
                workspace.tree.read("kept")
            except NotFound:
                lost += 1
            await workspace.close()
    return [*left, *(f"mount {place}" for place in _mounts(lane.home))], lost


def _boxes(runtime: Path) -> list[str]:
    """Ids of boxes, by the folders that are there for them."""
    there = [*runtime.iterdir(), *(runtime / "slots").iterdir()] if runtime.is_dir() else []
    return [entry.name for entry in there if BOX_ID.fullmatch(entry.name)]


def _control_groups(boxes: set[str]) -> list[str]:
    return [os.path.join(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names if name in boxes]


def _mounts(home: Path) -> list[str]:
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in places if place.startswith(f"{home}/") and not place.endswith(("/ws", "/slots"))]
