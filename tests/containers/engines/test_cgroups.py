"""Version 2 of control groups, with whatever controller this machine has left in it."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentrt.containers import EngineUnavailable
from agentrt.containers.engines.cgroups import hand_down

NOTHING: frozenset[str] = frozenset()


def controllers(group: Path, file: str) -> set[str]:
    return set((group / f"cgroup.{file}").read_text().split())


@pytest.fixture
def top() -> Path:
    """The topmost group of version 2."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    places = [Path(where) for _, where, kind, *_ in mounts if kind == "cgroup2"]
    if os.geteuid() != 0 or not places or not os.access(places[0], os.W_OK) or (places[0] / "cgroup.type").exists():
        pytest.skip("control groups of version 2 can be made as root only, where they are mounted for writing")
    return places[0]


@pytest.fixture
def controller(top: Path) -> Iterator[str]:
    """One that groups below the topmost have."""
    before = controllers(top, "subtree_control")
    named = sorted(controllers(top, "controllers"))
    if not named:
        pytest.skip("version 2 of control groups has no controller on this machine")
    known = sorted(before)[:1] or named[:1]
    hand_down(top, frozenset(known), NOTHING)
    yield known[0]
    if known[0] not in before:
        (top / "cgroup.subtree_control").write_text(f"-{known[0]}")


@pytest.fixture
def group(top: Path, controller: str) -> Iterator[Path]:
    """A group as it is delegated to a service, with a process in it."""
    folder = top / f"agentrt-test-{os.getpid()}"
    folder.mkdir()
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            (folder / "cgroup.procs").write_text(str(process.pid))
            yield folder
        finally:
            process.kill()
            process.wait()
            for place in (folder / "agentrt-server", folder):
                remove(place)


def remove(place: Path) -> None:
    """Once its last process has quite left it."""
    until = time.monotonic() + 20
    while place.exists():
        try:
            place.rmdir()
        except OSError:
            assert time.monotonic() < until


def test_the_processes_of_a_group_that_hands_controllers_down_move_aside_within_it(group: Path, controller: str) -> None:
    (pid,) = (group / "cgroup.procs").read_text().split()
    for _ in range(2):
        hand_down(group, frozenset((controller,)), NOTHING)
        assert controllers(group, "subtree_control") == {controller}
        assert (group / "cgroup.procs").read_text() == ""
        assert (group / "agentrt-server" / "cgroup.procs").read_text().split() == [pid]
        assert not (group / "agentrt-server" / "agentrt-server").exists()


def test_what_is_wished_for_and_not_to_be_had_is_done_without(group: Path, controller: str) -> None:
    hand_down(group, frozenset((controller,)), frozenset(("no-such",)))
    assert controllers(group, "subtree_control") == {controller}


def test_a_controller_that_is_not_delegated_is_named_and_nothing_moves(group: Path, top: Path) -> None:
    for place in (group, top):
        there = (place / "cgroup.procs").read_text().split()
        with pytest.raises(EngineUnavailable, match="no-such are not delegated"):
            hand_down(place, frozenset(("no-such",)), NOTHING)
        assert not (place / "agentrt-server").exists()
        assert there
