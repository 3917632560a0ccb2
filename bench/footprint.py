"""How much memory boxes take."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from statistics import median

from agentrt.containers.engines import INSTANCE_LABEL, Engine
from agentrt.containers.runner import COMMAND

MIB = 1024 * 1024
SETTLE_S = 1.0
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


async def available_mib() -> float:
    """What the kernel says could be had, a moment from now."""
    await asyncio.sleep(SETTLE_S)
    looks = []
    for _ in range(9):
        looks.append(_available_mib())
        await asyncio.sleep(0.05)
    return median(looks)


async def cgroup_mib(engine: Engine, instance: str) -> float:
    """What the control groups of an instance's boxes count together: pages of files too, each in the group that read it first."""
    boxes = [box.id for box in await engine.list({INSTANCE_LABEL: instance})]
    total = 0
    for pid in _runners():
        for box in boxes:
            if await engine.owns(box, pid):
                total += _usage(pid)
                break
    return total / MIB


def _available_mib() -> float:
    found = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _runners() -> list[int]:
    """Processes 1 of boxes, of whichever instance."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                status = (entry / "status").read_text()
                inside = re.search(r"NSpid:.*\t1\n", status)
                if inside and COMMAND[-1].encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def _usage(pid: int) -> int:
    """Bytes, of the group that a process is in."""
    groups = [line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for controllers, path in groups:
        if "memory" in controllers.split(","):
            return int((_V1 / path.lstrip("/") / "memory.usage_in_bytes").read_text())
    return int((_V2 / groups[-1][1].lstrip("/") / "memory.current").read_text())
