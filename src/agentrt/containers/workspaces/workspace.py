"""One holder's workspace while it is open."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from agentrt.kernel import Conflict, TooLarge, Unavailable

from ..mounts import bind, unmount
from .idmaps import OWNER
from .note import Note
from .shelf import FILES
from .tree import Size, Tree

if TYPE_CHECKING:
    from .service import Workspaces

_CHOWN_TIMEOUT_S = 300.0


class Workspace:
    """`Workspaces.open` gives it. `path` is its folder on the host; reach into it through `tree` only.

    `outgrown` is true where it is a plain folder that holds more than it may; a volume never lets that happen.
    """

    def __init__(self, home: "Workspaces", folder: Path, owner: int | None, limits: Size | None) -> None:
        """`limits`: of a plain folder, that no volume holds back."""
        self.id = folder.name
        self.path = folder / FILES
        self.tree = Tree(self.path, owner, limits)
        self.is_volume = limits is None
        self.note = Note(folder / "note.json")
        self.outgrown = False
        self.uses = 0
        self.slots: set[Path] = set()
        self._home = home

    async def attach(self, slot: Path, uid: int) -> None:
        """Show it at `slot`, owned by `uid` there. Unavailable where this process cannot mount; Conflict where the kernel
        cannot map owners and another slot shows it already."""
        if not self._home.can_mount:
            raise Unavailable("this process may not mount, so that a workspace is bound when a box starts")
        try:
            if self._home.maps_owners:
                bind(self.tree.descriptor, slot, userns=self._home.idmap(uid) or await self._home.prepare(uid))
            else:
                await self._give_to(uid)
                bind(self.tree.descriptor, slot)
        except OSError as exc:
            raise Unavailable(f"a workspace cannot be mounted: {exc.strerror}", code="workspace_unavailable") from exc
        self.slots.add(slot)

    async def detach(self, slot: Path) -> None:
        """Take it away from `slot`, also while somebody in there uses it; fine where it is not there."""
        if slot not in self.slots:
            return
        self.slots.discard(slot)
        unmount(slot)
        if not self._home.maps_owners:
            await self._give_to(OWNER)

    async def close(self) -> None:
        """The counterpart of `open`. It stays mounted for a while, in case its holder comes back."""
        await self._home.leave(self)

    async def measure(self) -> None:
        """Look whether a plain folder holds more than it may; nothing to do for a volume."""
        if self.is_volume:
            return
        used = await asyncio.to_thread(self.tree.usage)
        self.tree.full = self.outgrown = used.used_bytes > used.bytes or used.used_inodes > used.inodes

    async def check_room(self) -> None:
        """TooLarge where a plain folder holds more than it may, until some of it was deleted."""
        if self.outgrown:
            await self.measure()
        if self.outgrown:
            raise TooLarge("no space left in this workspace: delete some of its files first", code="workspace_full")

    async def _give_to(self, uid: int) -> None:
        if self.slots and self.tree.owner != uid:
            raise Conflict("this workspace is in use by another box", code="workspace_in_use")
        self.tree.owner = uid
        await asyncio.to_thread(_chown, self.path, uid)


def _chown(path: Path, uid: int) -> None:
    # chown(1) goes through a tree that is being changed without following links
    command = ["chown", "-R", "-h", "--", f"{uid}:{uid}", str(path)]
    done = subprocess.run(
        command, capture_output=True, timeout=_CHOWN_TIMEOUT_S, env={"PATH": os.environ.get("PATH", os.defpath)}, check=False
    )
    if done.returncode:
        raise Unavailable("the owner of a workspace cannot be changed", code="workspace_unavailable")
