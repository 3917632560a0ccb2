"""When configuration files may have changed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from watchfiles import awatch

from .kind import Kind
from .scan import files_of

log = structlog.get_logger()

SETTLE_MS = 100  # an editor's several writes count as one change
MOST_MS = 1000
LOOK_MS = 1000  # some file systems report nothing, and a watch takes time to be set: look anyway


def stamp(kinds: Sequence[Kind[Any]]) -> object:
    """Something that differs when a file of these kinds was added, removed, replaced or written."""
    seen: list[object] = []
    for kind in kinds:
        for source, file in files_of(kind):
            try:
                stat = file.stat()
            except OSError:
                continue  # removed while we looked
            seen.append((kind.name, source, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return seen


async def changes(kinds: Sequence[Kind[Any]]) -> AsyncIterator[None]:
    """Yields when something near the files of these kinds moved, and every second. Ends never."""
    while True:
        try:
            async for _ in _until_folders_change(kinds):
                yield
        except FileNotFoundError:
            continue  # a folder went while it was being watched: look again where to watch
        except OSError as exc:  # such as a used-up number of watches
            log.warning("config.not_watched", reason=exc.strerror or str(exc), looking_every_s=LOOK_MS / 1000)
            break
    while True:
        await asyncio.sleep(LOOK_MS / 1000)
        yield


async def _until_folders_change(kinds: Sequence[Kind[Any]]) -> AsyncIterator[None]:
    """A watch sticks to the folders it was set on: this one ends when one of them came, went or was replaced."""
    watched = _folders(kinds)
    async for _ in awatch(
        *watched,
        watch_filter=None,
        debounce=MOST_MS,
        step=SETTLE_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    ):
        yield
        if _folders(kinds) != watched:
            return


def _folders(kinds: Sequence[Kind[Any]]) -> dict[Path, int]:
    """The folders to watch, with their inodes: a file's own, as editors replace files; the nearest that exists."""
    found: dict[Path, int] = {}
    for kind in kinds:
        for path in kind.paths:
            folder = path if path.is_dir() else path.absolute().parent
            while (inode := _inode(folder)) is None:
                folder = folder.absolute().parent
            found[folder] = inode
    return found


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino if folder.is_dir() else None
    except OSError:
        return None
