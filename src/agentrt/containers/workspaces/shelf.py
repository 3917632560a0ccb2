"""How workspaces lie on disk. Everything here waits for the disk: it is called in threads.

<folder>/salt                  keys the names
<folder>/<id>/about.json       whose it is; its mtime is when it was used last
<folder>/<id>/volume.img       its disk, where this process may mount
<folder>/<id>/files/           the workspace: where the volume is mounted, or a plain folder
<folder>/<id>/note.json        what is remembered of it
<folder>/new-<random>/         a blank one, mounted already
<folder>/gone-<random>/        being removed
"""

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from agentrt.kernel import NotFound, Unavailable

from ..mounts import can_bind, share_tree, unmount, unmount_below
from .holder import Holder
from .idmaps import OWNER, open_idmap
from .loops import is_bound
from .resizing import copy_volume, fits
from .tree import Size
from .volume import make_volume, mount_volume

log = structlog.get_logger()

_NEW, _GONE = "new-", "gone-"
FILES = "files"
_ABOUT, _IMAGE, _SALT = "about.json", "volume.img", "salt"
_LEAST_FREE_MB = 64
_REMOVE_TIMEOUT_S = 600.0
_FREED_S = 3.0


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace on disk: whose, and how large it may grow. Times are microseconds since the epoch."""

    id: str
    holder: Holder
    disk_mb: int
    inodes: int
    made_at: int
    used_at: int = 0


class Shelf:
    """What an earlier process left mounted or half done is cleared away first. Unavailable where the folder refuses."""

    def __init__(self, folder: Path, size: Size) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder = folder.resolve()
            self.can_mount = os.geteuid() == 0 and can_bind(self.folder)
            if self.can_mount:
                unmount_below(self.folder)
                # shared: what is unmounted here goes from namespaces that others made meanwhile, too
                share_tree(self.folder)
            self._sweep()
            self.salt = self._salt()
        except OSError as exc:
            raise Unavailable(f"workspaces cannot be kept: {exc.strerror}", code="workspace_unavailable") from exc
        self.volumes = self.can_mount
        self.first = self._first(size)
        self.maps_owners = self.can_mount and _maps_owners(self.first / FILES)

    @property
    def owner(self) -> int | None:
        """Whom everything on disk belongs to; None where this process can give nothing away."""
        return OWNER if self.can_mount else None

    def path(self, workspace_id: str) -> Path:
        return self.folder / workspace_id

    def make_blank(self, size: Size) -> Path:
        """A workspace that is nobody's yet, mounted. Unavailable where there is no room or no means."""
        free = os.statvfs(self.folder)
        if free.f_bavail * free.f_frsize < _LEAST_FREE_MB * 1024 * 1024:
            raise Unavailable("the disk that holds the workspaces is full", code="workspace_unavailable")
        folder = self.folder / f"{_NEW}{os.urandom(6).hex()}"
        files = folder / FILES
        try:
            files.mkdir(parents=True)
            if self.volumes:
                make_volume(folder / _IMAGE, size.disk_mb, size.inodes)
                mount_volume(folder / _IMAGE, files)
            elif self.owner is not None:
                os.chown(files, self.owner, self.owner)
        except OSError as exc:
            self.remove(folder)
            raise Unavailable(f"a workspace cannot be made: {exc.strerror}", code="workspace_unavailable") from exc
        except Unavailable:
            self.remove(folder)
            raise
        return folder

    def assign(self, blank: Path, about: About) -> None:
        """Make the blank one theirs: three quick calls, and a crash between them leaves it nobody's. OSError."""
        (blank / _ABOUT).write_bytes(msgspec.json.encode(about))
        blank.rename(self.path(about.id))  # the mount moves along

    def mount(self, workspace_id: str, size: Size | None = None) -> None:
        """Mount one that is there, and let it have `size` where it had another and this can be done; NotFound where it is not
        there, Unavailable where it cannot be mounted. OSError."""
        folder = self.path(workspace_id)
        if not self.holds(workspace_id):
            raise NotFound("there is no such workspace", code="workspace_not_found")
        change = self._change(workspace_id, size)
        if not self.is_volume(workspace_id):  # a plain folder, made where nothing could be mounted
            if change is not None:
                self._note(change[1])
            return
        if not self.can_mount:
            raise Unavailable("this workspace is a volume, which only root can mount", code="workspace_unavailable")
        if os.path.ismount(folder / FILES):
            return
        alone = change is not None and _let_go(folder / _IMAGE)
        mount_volume(folder / _IMAGE, folder / FILES)
        if change is not None:
            self._resize(*change, alone)

    def _change(self, workspace_id: str, size: Size | None) -> tuple[About, About] | None:
        """What is written down of one, and what shall be; None where it stays as it is. OSError."""
        try:
            about = self._about(workspace_id)
        except msgspec.DecodeError:  # cut off by a loss of power: its files are there all the same
            return None
        wanted = about if size is None else msgspec.structs.replace(about, disk_mb=size.disk_mb, inodes=size.inodes)
        return (about, wanted) if wanted != about else None

    def _resize(self, about: About, wanted: About, alone: bool) -> None:
        """Give the mounted volume another size, if what is in it finds room there: it is copied into a blank one, which takes its
        place when all is in it. After a crash the one or the other is there, whole."""
        folder, size = self.path(about.id), Size(wanted.disk_mb, wanted.inodes)
        files, sizes = folder / FILES, {"disk_mb": [about.disk_mb, size.disk_mb], "inodes": [about.inodes, size.inodes]}
        shrinks = size.disk_mb < about.disk_mb or size.inodes < about.inodes
        try:
            if not alone:
                raise OSError("somebody still holds it")
            if shrinks and not fits(files, size):
                raise OSError("too much is in it")
            blank = self.make_blank(size)
            try:
                copy_volume(files, blank / FILES)
                unmount(blank / FILES)
                _settle(blank / _IMAGE)
                unmount(files)
                (blank / _IMAGE).replace(folder / _IMAGE)
                self._note(wanted)
            finally:
                self.remove(blank)
        except (OSError, subprocess.SubprocessError, Unavailable) as exc:
            log.warning("workspace.size_kept", workspace=about.id, reason=str(exc), **sizes)
        else:
            log.info("workspace.resized", workspace=about.id, **sizes)
        if not os.path.ismount(files):
            mount_volume(folder / _IMAGE, files)

    def unmount(self, workspace_id: str) -> None:
        """Put it away; fine where it is not mounted. OSError."""
        if self.can_mount:
            unmount(self.path(workspace_id) / FILES)

    def touch(self, workspace_id: str) -> None:
        """Used now. OSError."""
        os.utime(self.path(workspace_id) / _ABOUT)

    def holds(self, workspace_id: str) -> bool:
        return (self.path(workspace_id) / _ABOUT).is_file()

    def is_volume(self, workspace_id: str) -> bool:
        return (self.path(workspace_id) / _IMAGE).exists()

    def limits(self, workspace_id: str) -> Size | None:
        """How large a plain folder may grow; None for a volume, which sees to that itself. OSError."""
        if self.is_volume(workspace_id):
            return None
        about = self._about(workspace_id)
        return Size(about.disk_mb, about.inodes)

    def _about(self, workspace_id: str) -> About:
        return msgspec.json.decode((self.path(workspace_id) / _ABOUT).read_bytes(), type=About)

    def _note(self, about: About) -> None:
        path = self.path(about.id) / _ABOUT
        part = path.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(about))
        part.replace(path)

    def used_at(self, workspace_id: str) -> int:
        """0 where it is not there."""
        try:
            return (self.path(workspace_id) / _ABOUT).stat().st_mtime_ns // 1000
        except FileNotFoundError:
            return 0

    def all(self) -> Iterator[About]:
        """Every holder's workspace, with when it was used last."""
        for path in self.folder.glob(f"*/{_ABOUT}"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                about = msgspec.json.decode(path.read_bytes(), type=About)
                if about.id == path.parent.name:
                    yield msgspec.structs.replace(about, used_at=path.stat().st_mtime_ns // 1000)

    def remove(self, folder: Path) -> None:
        """Delete a workspace, mounted or not; fine where it is not there. OSError."""
        gone = folder
        if not folder.name.startswith(_GONE):
            gone = self.folder / f"{_GONE}{os.urandom(6).hex()}"
            try:
                folder.rename(gone)  # from here on it is nobody's, also after a crash
            except FileNotFoundError:
                return
        if self.can_mount:
            unmount(gone / FILES)
        if _fails("rm", "-rf", "--one-file-system", "--", str(gone)):
            # of one user with the code: what that locked away must be unlocked first
            _fails("chmod", "-R", "u+rwx", "--", str(gone))
            if code := _fails("rm", "-rf", "--one-file-system", "--", str(gone)):
                raise OSError(errno.EIO, f"rm ended with {code}")

    def close(self) -> None:
        """Unmount everything, and remove blank ones. OSError."""
        if self.can_mount:
            unmount_below(self.folder, itself=True)
        self._sweep()

    def _sweep(self) -> None:
        for prefix in (_NEW, _GONE):
            for folder in self.folder.glob(f"{prefix}*"):
                try:
                    self.remove(folder)
                except (OSError, subprocess.SubprocessError) as exc:  # no reason to keep anybody from their own
                    log.warning("workspace.not_removed", folder=folder.name, reason=str(exc))

    def _salt(self) -> bytes:
        path = self.folder / _SALT
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(os.urandom(32))
            part.replace(path)
        return path.read_bytes()

    def _first(self, size: Size) -> Path:
        """A blank one, by which it shows whether volumes can be made here."""
        try:
            return self.make_blank(size)
        except Unavailable as exc:
            if not self.volumes:
                raise
            log.warning("workspace.no_volumes", reason=exc.message)
            self.volumes = False
            return self.make_blank(size)


def _fails(*command: str) -> int:
    """How a program fails that goes through a tree of any depth without following links; 0 where it does not."""
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    return subprocess.run(command, capture_output=True, timeout=_REMOVE_TIMEOUT_S, env=env, check=False).returncode


def _let_go(image: Path) -> bool:
    """Whether nobody holds a device over it. The kernel frees one a moment after it was unmounted last."""
    until = time.monotonic() + _FREED_S
    while is_bound(image):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _settle(image: Path) -> None:
    """See it down to the disk."""
    with image.open("rb") as file:
        os.fsync(file.fileno())


def _maps_owners(files: Path) -> bool:
    try:
        userns = open_idmap(OWNER + 1)
    except (OSError, subprocess.SubprocessError):
        return False
    try:
        return can_bind(files, userns)
    finally:
        os.close(userns)
