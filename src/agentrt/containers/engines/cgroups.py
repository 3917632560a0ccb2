"""Control groups of boxes: what a box may use at most, what it is frozen by, and how it is told from others.

Every box has a group of its own below a group `agentrt`; with version 1 of the kernel's interface one for each controller.
"""

import os
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ..errors import EngineUnavailable
from ..spec import MIB, Limits

PARENT = "agentrt"
_ASIDE = f"{PARENT}-server"
_NEEDED, _WISHED = frozenset(("memory", "pids")), frozenset(("cpu",))
_PERIOD_US = 100_000
_PATIENCE_S = 3.0
_NO_LIMITS = "bubblewrap cannot limit memory and processes here: "


class Cgroups(Protocol):
    """Blocking; the names of boxes are their ids. Nothing here fails for a box that is gone, but `make` and `enter`."""

    cpu_limited: bool
    folders: tuple[Path, ...]
    """Those that hold a group for each box."""
    members: Path
    """The folder of groups whose `cgroup.procs` names what is in a box."""
    thawing: tuple[Path, str, str]
    """Of groups that freeze: their folder, what thaws one, and the file of the group that it is written to."""

    def make(self, box_id: str, limits: Limits) -> None:
        """A group with these limits. OSError where the kernel refuses."""
        ...

    def enter(self, box_id: str, pid: int) -> None: ...

    def freeze(self, box_id: str, frozen: bool) -> None:
        """Returns when every process of it stands still, or moves again."""
        ...

    def frozen(self, box_id: str) -> bool: ...

    def pids(self, box_id: str) -> list[int]: ...

    def ooms(self, box_id: str) -> int:
        """How many of its processes the memory limit has ended."""
        ...

    def remove(self, box_id: str) -> None:
        """Forget a group whose processes have been killed; waits a bounded time until they are gone."""
        ...


class CgroupsV1:
    """One tree for each controller."""

    def __init__(self, parents: Mapping[str, Path]) -> None:
        self._parents = parents
        self.cpu_limited = "cpu" in parents
        self.folders = tuple(parents.values())
        self.members = parents["pids"]
        self.thawing: tuple[Path, str, str] = (parents["freezer"], "THAWED", "freezer.state")

    def make(self, box_id: str, limits: Limits) -> None:
        for parent in self._parents.values():
            (parent / box_id).mkdir()
        memory = self._parents["memory"] / box_id
        size = str(limits.memory_mb * MIB)
        _write(memory / "memory.limit_in_bytes", size)
        if (memory / "memory.memsw.limit_in_bytes").exists():
            _write(memory / "memory.memsw.limit_in_bytes", size)
        else:  # a kernel that does not count swap: nothing of the box goes there
            _write(memory / "memory.swappiness", "0")
        _write(self._parents["pids"] / box_id / "pids.max", str(limits.pids))
        if self.cpu_limited:
            cpu = self._parents["cpu"] / box_id
            _write(cpu / "cpu.cfs_period_us", str(_PERIOD_US))
            _write(cpu / "cpu.cfs_quota_us", str(round(limits.cpus * _PERIOD_US)))

    def enter(self, box_id: str, pid: int) -> None:
        for parent in self._parents.values():
            _write(parent / box_id / "cgroup.procs", str(pid))

    def freeze(self, box_id: str, frozen: bool) -> None:
        state = self._parents["freezer"] / box_id / "freezer.state"
        wanted = "FROZEN" if frozen else "THAWED"
        for _ in _while_waiting():
            _write(state, wanted)  # again and again: a fork in mid-freeze needs another push
            if _read(state).strip() == wanted:
                return
        _write(state, "THAWED")  # half of it standing still is of no use to anybody
        raise TimeoutError

    def frozen(self, box_id: str) -> bool:
        return _read(self._parents["freezer"] / box_id / "freezer.state").strip() not in ("THAWED", "")

    def pids(self, box_id: str) -> list[int]:
        return [int(pid) for pid in _read(self._parents["pids"] / box_id / "cgroup.procs").split()]

    def ooms(self, box_id: str) -> int:
        return _number(_read(self._parents["memory"] / box_id / "memory.oom_control"), "oom_kill")

    def remove(self, box_id: str) -> None:
        for parent in self._parents.values():
            _remove(parent / box_id)


class CgroupsV2:
    """One tree, whose controllers are handed down by `cgroup.subtree_control`."""

    def __init__(self, parent: Path) -> None:
        self._parent = self.members = parent
        self.folders: tuple[Path, ...] = (parent,)
        self.thawing: tuple[Path, str, str] = (parent, "0", "cgroup.freeze")
        self.cpu_limited = "cpu" in _read(parent / "cgroup.subtree_control").split()

    def make(self, box_id: str, limits: Limits) -> None:
        group = self._parent / box_id
        group.mkdir()
        _write(group / "memory.max", str(limits.memory_mb * MIB))
        if (group / "memory.swap.max").exists():
            _write(group / "memory.swap.max", "0")
        _write(group / "pids.max", str(limits.pids))
        if self.cpu_limited:
            _write(group / "cpu.max", f"{round(limits.cpus * _PERIOD_US)} {_PERIOD_US}")

    def enter(self, box_id: str, pid: int) -> None:
        _write(self._parent / box_id / "cgroup.procs", str(pid))

    def freeze(self, box_id: str, frozen: bool) -> None:
        _write(self._parent / box_id / "cgroup.freeze", str(int(frozen)))
        for _ in _while_waiting():
            if _number(_read(self._parent / box_id / "cgroup.events"), "frozen") == frozen:
                return
        _write(self._parent / box_id / "cgroup.freeze", "0")
        raise TimeoutError

    def frozen(self, box_id: str) -> bool:
        return _read(self._parent / box_id / "cgroup.freeze").strip() == "1"

    def pids(self, box_id: str) -> list[int]:
        return [int(pid) for pid in _read(self._parent / box_id / "cgroup.procs").split()]

    def ooms(self, box_id: str) -> int:
        return _number(_read(self._parent / box_id / "memory.events"), "oom_kill")

    def remove(self, box_id: str) -> None:
        _remove(self._parent / box_id)


def find_cgroups() -> Cgroups:
    """The groups that this process can make. EngineUnavailable with the reason where it can enforce no limits of memory and
    processes. Makes the group `agentrt`, which stays."""
    mounted = dict(_mounted())
    own = _own_groups()
    if not {"memory", "pids", "freezer"} - mounted.keys():
        wanted = [name for name in ("memory", "pids", "freezer", "cpu") if name in mounted]
        return CgroupsV1({name: _place(name, *mounted[name], own.get(name, "/")) for name in wanted})
    if "" not in mounted:
        raise EngineUnavailable(_NO_LIMITS + "no control groups are mounted.")
    mount, root = mounted[""]
    if missing := _NEEDED - set(_read(mount / "cgroup.controllers").split()) - mounted.keys():
        raise EngineUnavailable(_NO_LIMITS + f"the kernel does not offer {' and '.join(sorted(missing))} to control groups.")
    parent = _place("", mount, root, _outermost(own.get("", "/")))
    hand_down(parent.parent)
    hand_down(parent)
    return CgroupsV2(parent)


def is_inside(pid: int, name: str) -> bool:
    """Whether a process is in a group one of whose folders has this name, or carries it between dots and dashes."""
    parts = (part for line in _read(Path(f"/proc/{pid}/cgroup")).splitlines() for part in line.split(":", 2)[2].split("/"))
    return bool(name) and any(name in part.replace(".", "-").split("-") for part in parts)


def _mounted() -> Iterator[tuple[str, tuple[Path, str]]]:
    """(controller, (where it is mounted, which group is mounted there)); the controller of version 2 is empty."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        _, _, _, root, mount, *_ = fields.split(" ")
        if kind == "cgroup2":
            yield "", (Path(mount), root)
        elif kind == "cgroup":
            yield from ((option, (Path(mount), root)) for option in options.split(","))


def _own_groups() -> dict[str, str]:
    """The group of this process for each controller."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    return {name: path for _, names, path in lines for name in names.split(",")}


def _place(name: str, mount: Path, root: str, own: str) -> Path:
    """The group of all boxes: at the top where that is allowed, as engines have theirs, else in what was delegated to us."""
    below = mount / os.path.relpath(own, root)
    for group in (mount, below):
        with suppress(OSError):
            (group / PARENT).mkdir(exist_ok=True)
        if os.access(group / PARENT, os.W_OK) and (name or os.access(group / "cgroup.subtree_control", os.W_OK)):
            return group / PARENT
    raise EngineUnavailable(_NO_LIMITS + "this user may make no control groups. Run as root, or in a service with Delegate=yes.")


def _outermost(own: str) -> str:
    """The group that was delegated to us, where we moved aside from it before."""
    return os.path.dirname(own) if os.path.basename(own) == _ASIDE else own


def hand_down(group: Path, needed: Set[str] = _NEEDED, wished: Set[str] = _WISHED) -> None:
    """Let the groups below have these controllers of version 2. EngineUnavailable where a needed one is not to be had.

    A group that hands any down may hold no processes itself, so these move aside. The topmost group of the machine may hold
    some, and those are not ours to move.
    """
    control = group / "cgroup.subtree_control"
    offered, had = set(_read(group / "cgroup.controllers").split()), set(_read(control).split())
    if missing := needed - offered - had:
        raise EngineUnavailable(f"{_NO_LIMITS}{' and '.join(sorted(missing))} are not delegated to this service's control group.")
    may_move = (group / "cgroup.type").exists()
    if needed - had and not (_handed(control, needed - had) or (may_move and _moved_aside(group, control, needed - had))):
        raise EngineUnavailable(_NO_LIMITS + "its control group lets those below have no controllers.")
    if wished & offered - had:
        _handed(control, wished & offered - had)  # asked for apart: one that is refused takes those beside it along


def _handed(control: Path, names: Set[str]) -> bool:
    try:
        _write(control, " ".join(f"+{name}" for name in sorted(names)))
    except OSError:
        return False
    return True


def _moved_aside(group: Path, control: Path, names: Set[str]) -> bool:
    """Whether the controllers could be handed down once the group's processes had left it."""
    aside = group / _ASIDE
    aside.mkdir(exist_ok=True)
    for _ in _while_waiting():  # a process that forks leaves another one behind
        for pid in _read(group / "cgroup.procs").split():
            with suppress(ProcessLookupError):
                _write(aside / "cgroup.procs", pid)
        if _handed(control, names):
            return True
    return False


def _remove(group: Path) -> None:
    for _ in _while_waiting():
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # busy: its last process has not quite left
            continue
        return
    raise TimeoutError


def _while_waiting() -> Iterator[None]:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        yield
        time.sleep(0.002)


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _read(path: Path) -> str:
    """What a file of the kernel says; nothing where its group or process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(text: str, name: str) -> int:
    return next((int(value) for key, value in (line.split() for line in text.splitlines()) if key == name), 0)
