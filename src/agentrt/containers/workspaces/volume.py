"""A workspace's disk: an ext4 file system in a sparse file, as large as the workspace may grow and no larger."""

import errno
import os
import subprocess
from pathlib import Path

from agentrt.kernel import Unavailable

from ..mounts import NOATIME, NODEV, NOSUID, mount
from ..spec import MIB
from .idmaps import OWNER
from .loops import Loop

_BLOCK, _INODE, _JOURNAL_MB = 4096, 256, 4
_OPTIONS = "errors=remount-ro,noinit_itable,discard"
_TIMEOUT_S = 120.0
_STATE_AT, _HAS_ERRORS = 1024 + 0x3A, 2
_DAMAGED = (errno.EUCLEAN, errno.EINVAL, errno.EIO, errno.EBADMSG, getattr(errno, "EFSBADCRC", errno.EBADMSG))


def make_volume(image: Path, disk_mb: int, inodes: int) -> None:
    """A blank volume with `disk_mb` for what is written and at most `inodes` files and folders. Unavailable with the reason."""
    size = (disk_mb + _JOURNAL_MB + 1) * MIB
    # not quite one inode per block, those of the inodes included, is all that ext4 can do
    inodes = max(64, min(inodes, size // (_BLOCK + _INODE)))
    size += inodes * (_INODE + 8)
    size -= size % _BLOCK
    try:
        with image.open("xb") as file:
            file.truncate(size)
    except OSError as exc:
        raise _unmade(exc.strerror) from exc
    layout = ["-b", str(_BLOCK), "-I", str(_INODE), "-N", str(inodes), "-m", "0", "-J", f"size={_JOURNAL_MB}"]
    features = ["-O", "^resize_inode", "-E", f"lazy_itable_init=1,lazy_journal_init=1,root_owner={OWNER}:{OWNER}"]
    failure = _run("mkfs.ext4", "-q", "-F", *layout, *features, str(image))
    if failure:
        image.unlink(missing_ok=True)
        raise _unmade(failure)


def mount_volume(image: Path, target: Path) -> None:
    """Mount it, nosuid and nodev; what was cut off by a crash is replayed, damage is mended where it can be.

    Unavailable where it cannot.
    """
    mended = _has_errors(image) and _mend(image)
    try:
        _mount(image, target)
    except OSError as exc:
        if mended or exc.errno not in _DAMAGED:
            raise Unavailable(
                f"the volume of a workspace cannot be mounted: {exc.strerror}", code="workspace_unavailable"
            ) from exc
        _mend(image)
        try:
            _mount(image, target)
        except OSError as still:
            raise _damaged() from still
    found = target / "lost+found"
    if found.is_dir() and not any(found.iterdir()):
        found.rmdir()


def _mount(image: Path, target: Path) -> None:
    with Loop(image) as loop:
        mount(loop.path, target, "ext4", NOSUID | NODEV | NOATIME, _OPTIONS)


def _has_errors(image: Path) -> bool:
    try:
        with image.open("rb") as file:
            return bool(os.pread(file.fileno(), 1, _STATE_AT)[0] & _HAS_ERRORS)
    except (OSError, IndexError) as exc:
        raise _damaged() from exc


def _mend(image: Path) -> bool:
    """Let e2fsck mend what it can without asking; Unavailable where it cannot."""
    if _run("e2fsck", "-p", str(image), fine=(0, 1)):
        raise _damaged()
    return True


def _run(program: str, *args: str, fine: tuple[int, ...] = (0,)) -> str:
    """Why the program failed; empty where it did its work."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    try:
        done = subprocess.run([program, *args], capture_output=True, timeout=_TIMEOUT_S, env={"PATH": path}, check=False)
    except FileNotFoundError:
        return f"{program} is not installed (the package e2fsprogs)"
    except subprocess.TimeoutExpired:
        return f"{program} took longer than {_TIMEOUT_S:.0f} s"
    return "" if done.returncode in fine else f"{program} failed with {done.returncode}"


def _unmade(reason: str | None) -> Unavailable:
    return Unavailable(f"a workspace cannot be made: {reason}", code="workspace_unavailable")


def _damaged() -> Unavailable:
    return Unavailable(
        "the volume of this workspace is damaged beyond what can be mended by itself; "
        "an operator may try e2fsck on it, or forget the workspace",
        code="workspace_damaged",
    )
