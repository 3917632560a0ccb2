"""A slot: what a box has on the host while it lives. A number that nobody else has, folders, and what of them shows inside."""

import fcntl
import os
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import msgspec

from agentrt.kernel import Invalid, Unavailable

from ..engines import Mount
from ..mounts import bind, unmount

FIRST_UID = 200_000
LAST_UID = 265_535
RUNNER_FOLDER = "runner"
CONTROL, WORKSPACE, SKILLS = "/run/agentrt", "/workspace", "/skills"


class Slot(msgspec.Struct, frozen=True):
    """`control` is the folder of the box's sockets; a workspace and skills are mounted onto the other two later."""

    box_id: str
    uid: int
    gid: int
    control: Path
    workspace: Path
    skills: Path
    claim: int
    """A descriptor whose lock keeps the uid ours; -1 where every box has the uid of this process."""


class Slots:
    """Makes slots below `runtime`. Boxes of all pools, and of other servers on this machine, have different uids: limits of
    processes, pipes and keys are counted per uid on the whole machine.

    `distinct` is False where this process may not give boxes a uid of their own; then all have its own, and its group.
    """

    def __init__(self, runtime: Path, *, distinct: bool) -> None:
        self._runtime, self._distinct = runtime, distinct
        self._uids = runtime.parent / "uids"
        self._taken: set[int] = set()

    def take(self, box_id: str) -> Slot:
        """A new slot. OSError where the folders cannot be made, or no number is left."""
        uid, claim = self._claim() if self._distinct else (os.getuid(), -1)
        gid = uid if self._distinct else os.getgid()
        mounted = self._runtime / "slots" / box_id
        slot = Slot(box_id, uid, gid, self._runtime / box_id / "ctl", mounted / "workspace", mounted / "skills", claim)
        try:
            self._runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (slot.control, slot.workspace, slot.skills):
                folder.mkdir(mode=0o755, parents=True)
        except OSError:
            self.give_back(slot)
            raise
        return slot

    def give_back(self, slot: Slot) -> None:
        """Remove the folders and free the uid; for a box that is gone and detached. Never follows into what is mounted."""
        remove_folders(self._runtime, slot.box_id)
        if slot.claim >= 0:
            os.close(slot.claim)
            self._taken.discard(slot.uid)

    def show(self, slot: Slot, views: Mapping[str, Path]) -> None:
        """Let a running box see these folders, read-only. Invalid for one that it has no place for; Unavailable."""
        for name, folder in views.items():
            if name != "skills":
                raise Invalid(f"a box has no place for {name!r}", param="views")
            try:
                bind(folder, slot.skills, read_only=True)
            except OSError as exc:
                raise Unavailable(f"the folder of skills cannot be mounted: {exc.strerror}") from exc

    def hide(self, slot: Slot) -> None:
        """Take away what `show` showed."""
        if self._distinct:
            unmount(slot.skills)

    def _claim(self) -> tuple[int, int]:
        self._uids.mkdir(mode=0o700, parents=True, exist_ok=True)
        for uid in count(FIRST_UID):
            if uid > LAST_UID:
                raise OSError("no uid is left for a container")
            if uid in self._taken:
                continue
            fd = os.open(self._uids / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another server has it
                os.close(fd)
                continue
            self._taken.add(uid)
            return uid, fd
        raise AssertionError("unreachable")


def remove_runtime(runtime: Path) -> None:
    """Remove the folders of a server that ends; what is not empty is somebody else's."""
    for folder in (runtime / "slots", runtime):
        _rmdir(folder)


def remove_folders(runtime: Path, box_id: str) -> None:
    """Remove what a box had on disk. A folder that something is still mounted on stays, for the next start to clear."""
    for folder in ("workspace", "skills"):
        _rmdir(runtime / "slots" / box_id / folder)
    _rmdir(runtime / "slots" / box_id)
    shutil.rmtree(runtime / box_id, ignore_errors=True)


def _rmdir(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # not there, or still mounted on: never look inside
        return


def later_mounts(slot: Slot) -> tuple[Mount, ...]:
    """Where a workspace and skills appear in a box that is bound after it started."""
    return (
        Mount(source=slot.control, target=CONTROL),
        Mount(source=slot.workspace, target=WORKSPACE, read_only=False, receives=True),
        Mount(source=slot.skills, target=SKILLS, receives=True),
    )


def fixed_mounts(slot: Slot, workspace: Path, views: Mapping[str, Path]) -> tuple[Mount, ...]:
    """The same for a box that is made for one holder, where nothing can be mounted into it later."""
    skills = [Mount(source=path, target=f"/{name}") for name, path in views.items()]
    return (
        Mount(source=slot.control, target=CONTROL),
        Mount(source=workspace, target=WORKSPACE, read_only=False),
        *skills,
    )
