"""Workspaces: one for each holder, on disk until nobody has used it for long."""

import asyncio
import hashlib
import os
import subprocess
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, Self
from weakref import WeakValueDictionary

import msgspec
import structlog

from agentrt.kernel import AgentrtError, Clock, Conflict, NotFound, SystemClock, Unavailable

from ..spec import MIB
from .holder import Holder
from .idmaps import open_idmap
from .shelf import About, Shelf
from .slots import slots
from .tree import Size
from .workspace import Workspace

log = structlog.get_logger()

_LOOK_EVERY_S, _RETRY_S = 10.0, 5.0
_GC_EVERY_S = 3600.0
_STAYS_MOUNTED, _STAYS_MOUNTED_S = 64, 300.0
_MOST_IDMAPS = 512
_AHEAD = 2

P = ParamSpec("P")


class Workspaces:
    """The workspaces below `folder`, for slots below `runtime`; an async context manager, and the only one for that folder.

    Where this process may mount, each is a volume of `disk_mb` and `inodes`, so that what is too much fails inside as on any
    full disk. `can_mount` is False where it may not: then a workspace is a plain folder, bound when a box starts, and what it
    holds is measured every ten seconds.
    """

    def __init__(
        self,
        folder: Path,
        runtime: Path,
        *,
        disk_mb: int = 1024,
        inodes: int = 65_536,
        keep_s: float = 30 * 86_400.0,
        keep_free_mb: int = 64,
        sizes: Mapping[str, Size] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`sizes`: of the workspaces of these pools. One that is there gets it when it is opened, if what is in it finds room; of
        all others the size stays as it was made. `keep_free_mb`: below that no new one is made."""
        self._folder, self._runtime, self._keep_s, self._keep_free_mb = folder, runtime, keep_s, keep_free_mb
        self._size, self._sizes = Size(disk_mb, inodes), dict(sizes or {})
        self._clock = clock or SystemClock()
        self._stack = AsyncExitStack()
        self._shelf: Shelf
        self._open: dict[str, Workspace] = {}
        self._resting: OrderedDict[str, float] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._blanks: dict[Size, list[Path]] = {size: [] for size in (self._size, *self._sizes.values())}
        self._taken = asyncio.Event()
        self._idmaps: OrderedDict[int, int] = OrderedDict()
        self.can_mount = self.maps_owners = False

    async def __aenter__(self) -> Self:
        self._shelf = await asyncio.to_thread(Shelf, self._folder, self._size)
        self.can_mount, self.maps_owners = self._shelf.can_mount, self._shelf.maps_owners
        if self.can_mount:
            slots(self._runtime)
        self._blanks[self._size].append(self._shelf.first)
        self._taken.set()
        self._stack.push_async_callback(self._let_go)
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        for name, work in (("blank workspaces", self._make_blanks()), ("unused workspaces", self._look_after())):
            self._stack.callback(group.create_task(work, name=name).cancel)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def open(self, holder: Holder) -> Workspace:
        """The holder's workspace, made on first use; `close` it as often as it was opened. Unavailable with the reason."""
        workspace_id = self.id_of(holder)
        found = self._open.get(workspace_id)
        if found is None:
            async with self._turn(workspace_id):
                found = self._open.get(workspace_id) or await self._bring(workspace_id, holder)
                found.uses += 1
        else:
            found.uses += 1
        self._resting.pop(workspace_id, None)
        return found

    async def make(self, holder: Holder, disk_mb: int, inodes: int) -> None:
        """A workspace of a size of its own, for a holder who has none. Conflict where there is one; Unavailable."""
        workspace_id, size = self.id_of(holder), Size(disk_mb, inodes)
        async with self._turn(workspace_id):
            if self._shelf.holds(workspace_id):
                raise Conflict("there is such a workspace already", code="workspace_exists")
            self._check_room()
            await self._assign(await asyncio.to_thread(self._shelf.make_blank, size), size, workspace_id, holder)

    def id_of(self, holder: Holder) -> str:
        """An opaque name that tells nothing of its holder; the same for as long as the folder lives."""
        told = "\0".join((holder.tenant, holder.user, holder.session, holder.pool))
        return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), key=self._shelf.salt, digest_size=16).hexdigest()

    async def find(self, holder: Holder) -> bool:
        """Whether the holder has a workspace already."""
        return await asyncio.to_thread(self._shelf.holds, self.id_of(holder))

    async def all(self) -> list[About]:
        """Every workspace there is, used last first."""
        found = await asyncio.to_thread(lambda: list(self._shelf.all()))
        return sorted(found, key=lambda about: about.used_at, reverse=True)

    async def forget(self, holder: Holder) -> None:
        """Delete the holder's workspace. NotFound where there is none; Conflict while it is open."""
        workspace_id = self.id_of(holder)
        async with self._turn(workspace_id):
            await self._put_away(workspace_id)
            folder = self._shelf.path(workspace_id)
            if not folder.exists():
                raise NotFound("there is no such workspace", code="workspace_not_found")
            await self._remove(folder)

    @property
    def trouble(self) -> str:
        """Why no new workspace is made; empty where they are."""
        try:
            free = os.statvfs(self._folder)
        except OSError as exc:
            return f"the folder of the workspaces cannot be looked at: {exc.strerror}"
        if free.f_bavail * free.f_frsize >= self._keep_free_mb * MIB:
            return ""
        return f"the disk that holds the workspaces has less than {self._keep_free_mb} MiB free, so that no new one is made"

    def _check_room(self) -> None:
        if reason := self.trouble:
            raise Unavailable(reason, code="disk_full")

    async def prepare(self, uid: int) -> int:
        """Make ready that `attach` shows owners as `uid`; for when a slot is made. OSError."""
        if not self.maps_owners:
            return -1
        if (known := self.idmap(uid)) > 0:
            return known
        fd = await asyncio.to_thread(open_idmap, uid)
        if (meanwhile := self.idmap(uid)) > 0:
            os.close(fd)
            return meanwhile
        self._idmaps[uid] = fd
        while len(self._idmaps) > _MOST_IDMAPS:
            os.close(self._idmaps.popitem(last=False)[1])
        return fd

    def idmap(self, uid: int) -> int:
        """What `prepare` made; 0 where it did not."""
        return self._idmaps.get(uid, 0)

    async def leave(self, workspace: Workspace) -> None:
        """One use less; `Workspace.close` calls it."""
        if self._open.get(workspace.id) is not workspace:
            return
        workspace.uses = max(0, workspace.uses - 1)
        if workspace.uses == 0:
            self._resting[workspace.id] = time.monotonic()
            with suppress(OSError):  # it would only be thought unused for longer than it was
                self._shelf.touch(workspace.id)

    async def _bring(self, workspace_id: str, holder: Holder) -> Workspace:
        if self._shelf.holds(workspace_id):
            try:
                await _in_thread(self._shelf.mount, workspace_id, self._sizes.get(holder.pool))
                self._shelf.touch(workspace_id)
                found = self._found(workspace_id)
                await asyncio.to_thread(found.tree.sweep)
            except (OSError, msgspec.DecodeError) as exc:
                why = getattr(exc, "strerror", None) or "what was written down of it is damaged"
                raise Unavailable(f"the workspace cannot be opened: {why}", code="workspace_unavailable") from exc
        else:
            await self._make(workspace_id, holder)
            found = self._found(workspace_id)
        self._open[workspace_id] = found
        return found

    def _found(self, workspace_id: str) -> Workspace:
        return Workspace(self, self._shelf.path(workspace_id), self._shelf.owner, self._shelf.limits(workspace_id))

    async def _make(self, workspace_id: str, holder: Holder) -> None:
        self._check_room()
        size = self._sizes.get(holder.pool, self._size)
        ahead = self._blanks[size]
        blank = ahead.pop() if ahead else await asyncio.to_thread(self._shelf.make_blank, size)
        self._taken.set()
        await self._assign(blank, size, workspace_id, holder)

    async def _assign(self, blank: Path, size: Size, workspace_id: str, holder: Holder) -> None:
        now = self._clock.now_us()
        about = About(id=workspace_id, holder=holder, made_at=now, disk_mb=size.disk_mb, inodes=size.inodes)
        try:
            self._shelf.assign(blank, about)  # three quick calls: a thread would take longer
        except OSError as exc:
            raise Unavailable(f"a workspace cannot be made: {exc.strerror}", code="workspace_unavailable") from exc

    async def _make_blanks(self) -> None:
        """Keep one of each size ahead, and more of the usual one: people come in bursts."""
        while True:
            await self._taken.wait()
            self._taken.clear()
            for size, ahead in self._blanks.items():
                try:
                    while len(ahead) < (_AHEAD if size == self._size else 1):
                        ahead.append(await asyncio.to_thread(self._shelf.make_blank, size))
                except Unavailable as exc:
                    log.warning("workspace.not_made", reason=exc.message)
                    await asyncio.sleep(_RETRY_S)
                    self._taken.set()

    async def _look_after(self) -> None:
        collected = 0.0
        while True:
            if time.monotonic() - collected > _GC_EVERY_S:
                collected = time.monotonic()
                await self.collect()
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._unmount_unused()
            await self._measure()

    async def collect(self) -> int:
        """Remove the workspaces that nobody has used for longer than they are kept; how many."""
        oldest = self._clock.now_us() - int(self._keep_s * 1e6)
        removed = 0
        for about in [about for about in await self.all() if about.used_at < oldest]:
            async with self._turn(about.id):
                if not 0 < self._shelf.used_at(about.id) < oldest:  # opened meanwhile, or gone
                    continue
                try:
                    await self._put_away(about.id)
                    await self._remove(self._shelf.path(about.id))
                except (Conflict, Unavailable) as exc:
                    log.debug("workspace.not_removed", workspace=about.id, reason=exc.message)
                    continue
            removed += 1
            log.info("workspace.removed", workspace=about.id, reason="unused")
        return removed

    async def _unmount_unused(self) -> None:
        """Put away those that nobody came back for."""
        longest = time.monotonic() - _STAYS_MOUNTED_S
        while self._resting:
            workspace_id, since = next(iter(self._resting.items()))
            if since > longest and len(self._resting) <= _STAYS_MOUNTED:
                return
            del self._resting[workspace_id]
            async with self._turn(workspace_id):
                with suppress(Conflict):  # its holder came back
                    await self._put_away(workspace_id)

    async def _measure(self) -> None:
        for found in list(self._open.values()):
            if found.uses:
                with suppress(AgentrtError, OSError):  # one that cannot be looked at keeps nobody from the others
                    await found.measure()

    async def _put_away(self, workspace_id: str) -> None:
        """Unmount it. Conflict while somebody has it open."""
        found = self._open.get(workspace_id)
        if found is not None:
            if found.uses or found.slots:
                raise Conflict("this workspace is in use", code="workspace_in_use")
            del self._open[workspace_id]
            self._resting.pop(workspace_id, None)
            found.tree.close()
        await asyncio.to_thread(self._shelf.unmount, workspace_id)

    async def _remove(self, folder: Path) -> None:
        try:
            await asyncio.to_thread(self._shelf.remove, folder)
        except (OSError, subprocess.SubprocessError) as exc:
            raise Unavailable("a workspace cannot be removed", code="workspace_unavailable") from exc

    def _turn(self, workspace_id: str) -> asyncio.Lock:
        """One at a time for each workspace; a lock lives for as long as somebody holds or awaits it."""
        return self._turns.setdefault(workspace_id, asyncio.Lock())

    async def _let_go(self) -> None:
        for found in self._open.values():
            for slot in list(found.slots):
                await found.detach(slot)
            found.tree.close()
        self._open.clear()
        for fd in self._idmaps.values():
            os.close(fd)
        self._idmaps.clear()
        await asyncio.to_thread(self._shelf.close)


async def _in_thread(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """In a thread, to its end: also where nobody waits for that any more, nobody else gets at what it is at work on."""
    working = asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise
