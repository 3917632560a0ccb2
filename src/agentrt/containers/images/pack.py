"""Writes tar files. A program of its own (`python -I -S pack.py OUT < list`), so that it costs the server's loop nothing.

The list is JSON: `[[name inside, path outside], …]`; a folder stands for itself alone, an empty path for an empty folder.
Everything belongs to root, nobody gains rights by what is in it, sockets and devices are left out. A file is first written
beside OUT: OUT is whole or not there.
"""

import json
import os
import sys
import tarfile
from collections.abc import Iterable

MTIME = 1_600_000_000


def pack(out: str, members: Iterable[tuple[str, str]]) -> None:
    """Write `members` to the tar file `out`, in this order."""
    part = f"{out}.part"
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in members:
            _add(tar, name, path)
    os.replace(part, out)


def _add(tar: tarfile.TarFile, name: str, path: str) -> None:
    if not path:
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, MTIME
        return tar.addfile(folder)
    info = tar.gettarinfo(path, arcname=name)
    if info is None or not (info.isfile() or info.isdir() or info.issym() or info.islnk()):
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = (info.mode & 0o1777) | 0o444
    if not info.isfile():
        return tar.addfile(info)
    with open(path, "rb") as file:
        tar.addfile(info, file)
    return None


if __name__ == "__main__":
    try:
        pack(os.path.abspath(sys.argv[1]), json.load(sys.stdin))
    except OSError as exc:
        sys.exit(f"{exc.strerror}: {exc.filename or sys.argv[1]}")
