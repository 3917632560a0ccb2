"""How much memory boxes take."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import msgspec

from agentrt.containers.engines import INSTANCE_LABEL, Engine
from agentrt.containers.runner import COMMAND

from .ground import NoGround

MIB = 1024 * 1024
SETTLE_S, MOST_LOOKS = 1.0, 20
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class Footprint(msgspec.Struct, frozen=True):
    """MiB of all boxes of an instance. `machine`: what the machine has less for them, pages that several map counted once;
    `cgroup`: what their control groups count."""

    machine: float
    cgroup: float


async def footprint(engine: Engine, instance: str, count: int) -> Footprint:
    """Of `count` boxes, once they have come to rest. NoGround where there are not as many."""
    boxes = [box.id for box in await engine.list({INSTANCE_LABEL: instance})]
    runners = [pid for pid in _runners() for box in boxes if await engine.owns(box, pid)]
    if len(runners) != count:
        raise NoGround(f"{len(runners)} boxes stand where {count} should")
    found = _look(runners)
    for _ in range(MOST_LOOKS):
        await asyncio.sleep(SETTLE_S)
        before, found = found, _look(runners)
        if abs(found.machine - before.machine) < 0.01 * before.machine:
            break
    return found


def _look(runners: list[int]) -> Footprint:
    """Of the machine a box has the pages of its processes, those of the process of the engine that stands beside it, and what the
    kernel holds for its control group. MemAvailable of the whole machine cannot tell: pages that a processor keeps at hand after
    processes ended are neither free nor taken to it, hundreds of MiB of them."""
    machine = cgroup = 0
    for pid in runners:
        counted, kernel = _group(pid)
        cgroup += counted
        machine += kernel + sum(_pages(one) for one in (_parent(pid), *_family(pid)))
    return Footprint(machine / MIB, cgroup / MIB)


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


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _family(pid: int) -> list[int]:
    """A process and those below it."""
    below = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [pid, *(one for child in below for one in _family(child))]


def _pages(pid: int) -> int:
    """Bytes of a process; of those that others map as well, its share."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _group(pid: int) -> tuple[int, int]:
    """Bytes that the control group of a process counts, and those of them that the kernel took."""
    groups = [line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for controllers, path in groups:
        if "memory" in controllers.split(","):
            group = _V1 / path.lstrip("/")
            return int((group / "memory.usage_in_bytes").read_text()), int((group / "memory.kmem.usage_in_bytes").read_text())
    group = _V2 / groups[-1][1].lstrip("/")
    kernel = re.search(r"^kernel (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
    return int((group / "memory.current").read_text()), int(kernel[1]) if kernel else 0
