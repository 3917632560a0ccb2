"""Mounting, as the kernel offers it: what the standard library has no call for."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
# the same numbers on every architecture of today's kernels
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8

READ_ONLY, NOSUID, NODEV, NOATIME = 1, 2, 4, 1024
_BIND, _REC, _PRIVATE, _SHARED = 4096, 16384, 1 << 18, 1 << 20
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_NOEXEC, _ATTR_IDMAP = 1, 2, 4, 8, 0x100000


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


class MountPoint(msgspec.Struct, frozen=True):
    """A line of mountinfo: where something is mounted, and from what device."""

    path: str
    source: str
    shared: bool


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); OSError."""
    done = _LIBC.mount(
        source.encode(), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    if done != 0:
        raise _failure(target)


def mount_memory(target: Path, size: int, inodes: int) -> None:
    """A file system in memory at `target`, which is made where it is not there; OSError."""
    target.mkdir(exist_ok=True)
    mount("tmpfs", target, "tmpfs", NOSUID | NODEV, f"size={size},nr_inodes={inodes},mode=1777")


def unmount(target: Path | str) -> bool:
    """Take away what is mounted on top of `target` at once, also while it is in use; whether there was anything."""
    if _LIBC.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOENT):
        return False
    raise _failure(target)


def unmount_all(target: Path) -> None:
    """The same for everything that is mounted there, one on top of the other."""
    while unmount(target):
        pass


def clear_place(place: Path) -> None:
    """Take away a folder that was made to mount something on; what cannot go stays."""
    with suppress(OSError):
        unmount_all(place)
        place.rmdir()


def bind(source: int | Path, target: Path, *, userns: int = -1, read_only: bool = False) -> None:
    """Bind the folder `source` (a path, or a descriptor of it) onto `target`, nosuid and nodev from its first moment.

    With `userns`, a descriptor of a user namespace, owners show as this maps them. OSError: EINVAL where the file system
    has no such mapping, EPERM where this process may not mount.
    """
    tree = _detached(source, userns, read_only)
    try:
        _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def can_bind(source: Path, userns: int = -1) -> bool:
    """Whether `bind` would work with that source."""
    try:
        os.close(_detached(source, userns, False))
    except OSError:
        return False
    return True


def _detached(source: int | Path, userns: int, read_only: bool) -> int:
    at, path = (source, b"") if isinstance(source, int) else (_AT_FDCWD, os.fsencode(source))
    tree = _call(_OPEN_TREE, at, path, _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_EMPTY_PATH)
    attr = _MountAttr(attr_set=_ATTR_NOSUID | _ATTR_NODEV)
    if read_only:  # programs among what is shown may be run, also where it lies on a /run that forbids that
        attr.attr_set, attr.attr_clr = attr.attr_set | _ATTR_RDONLY, _ATTR_NOEXEC
    if userns >= 0:
        attr.attr_set |= _ATTR_IDMAP
        attr.userns_fd = userns
    try:
        _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attr), ctypes.sizeof(attr))
    except OSError:
        os.close(tree)
        raise
    return tree


def share_tree(folder: Path) -> None:
    """Make `folder` a mount of its own whose later mounts show in the boxes that hold a part of it. Fine to repeat."""
    found = [point for point in mount_points() if point.path == str(folder)]
    if not found:
        mount(str(folder), folder, flags=_BIND)
    if not any(point.shared for point in found[-1:]):
        mount("none", folder, flags=_PRIVATE)
        mount("none", folder, flags=_SHARED)


def unmount_below(folder: Path, *, itself: bool = False) -> int:
    """Take away every mount below `folder`; how many there were."""
    prefix = f"{folder}/"
    paths = [point.path for point in mount_points() if point.path.startswith(prefix) or (itself and point.path == str(folder))]
    # what came later lies deeper or on top
    return sum(map(unmount, reversed(paths)))


def mount_points() -> Iterator[MountPoint]:
    """What is mounted in this process's namespace, oldest first."""
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines.read().splitlines():
            fields, _, rest = line.partition(b" - ")
            parts = fields.split(b" ")
            shared = any(part.startswith(b"shared:") for part in parts[6:])
            yield MountPoint(_plain(parts[4]), _plain(rest.split(b" ")[1]), shared)


def _plain(field: bytes) -> str:
    for code, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, byte)
    return os.fsdecode(field)


def _call(number: int, *args: object) -> int:
    # a variadic function takes what it is given: every integer must be as wide as the kernel reads it
    wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    done = _LIBC.syscall(ctypes.c_long(number), *wide)
    if done < 0:
        raise _failure("")
    return done


def _failure(target: Path | str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), str(target))
