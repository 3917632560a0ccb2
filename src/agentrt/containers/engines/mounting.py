"""A file system in memory for a box, for the moment until bubblewrap has taken its own hold of it."""

import ctypes
import errno
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NOSUID, _NODEV, _DETACH = 2, 4, 2


def mount_tmpfs(target: Path, size: int, inodes: int) -> None:
    """OSError where this process may not."""
    target.mkdir(exist_ok=True)
    options = f"size={size},nr_inodes={inodes},mode=1777".encode()
    if _LIBC.mount(b"tmpfs", os.fsencode(target), b"tmpfs", ctypes.c_ulong(_NOSUID | _NODEV), options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def unmount(target: Path) -> None:
    """Whatever is mounted there; fine where nothing is."""
    while _LIBC.umount2(os.fsencode(target), _DETACH) == 0:
        pass
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT, errno.EPERM):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
