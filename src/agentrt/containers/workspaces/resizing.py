"""Copying what is in one volume into another: how a workspace gets another size."""

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

from ..spec import MIB
from .tree import Size

_TIMEOUT_S = 600.0
_ROOM = 0.9


def fits(files: Path, size: Size) -> bool:
    """Whether what is in the volume mounted at `files` finds room in one of that size, and a little more. OSError."""
    found = os.statvfs(files)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    return used <= size.disk_mb * MIB * _ROOM and _inodes(files) <= size.inodes * _ROOM


def copy_volume(source: Path, target: Path) -> None:
    """Copy everything from one mounted volume into another, a blank one, down to the disk. OSError where not all of it is there
    afterwards."""
    with ExitStack() as stack:
        fds = tuple(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in (source, target))
        for fd in fds:
            stack.callback(os.close, fd)
        # by descriptors: whatever is unmounted meanwhile, they lead into the volumes and nowhere else
        old, new = (f"/proc/self/fd/{fd}/" for fd in fds)
        for command in (["cp", "-a", f"{old}.", new], ["sync", "-f", new]):
            env = {"PATH": os.environ.get("PATH", os.defpath)}
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, env=env, pass_fds=fds, check=False)
            if done.returncode:
                raise OSError(f"{command[0]} ended with {done.returncode}")
        if _inodes(source) != _inodes(target):
            raise OSError("the copy is not whole")


def _inodes(files: Path) -> int:
    found = os.statvfs(files)
    return found.f_files - found.f_ffree
