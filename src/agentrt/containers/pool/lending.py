"""The operator's folders in boxes: by a way that does not tell where on this machine they are.

Code in a box reads in /proc/self/mountinfo from which folder of a disk each mount comes. An overlay tells instead what it was
mounted from, as that was said: here by the number of a descriptor.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec.structs import replace

from ..engines import Mount
from ..mounts import NODEV, NOSUID, READ_ONLY, clear_place, mount

log = structlog.get_logger()

FOLDER, _EMPTY = "lent", "empty"


class Lender:
    """Shows `mounts` below `runtime`, to one box at a time that starts: what an overlay shows of a folder that changes is not
    sure. Blocking; for several threads. Where this process may not mount, or not those, they are what they are."""

    def __init__(self, mounts: Sequence[Mount], runtime: Path, *, can_mount: bool) -> None:
        self._mounts, self._place, self._possible = tuple(mounts), runtime / FOLDER, can_mount

    def lend(self, box_id: str) -> tuple[Mount, ...]:
        """What box `box_id` is to be started with; `take_back` must follow once it runs, which keeps what it has."""
        return tuple(self._shown(mount, self._place / f"{box_id}-{count}") for count, mount in enumerate(self._mounts))

    def take_back(self, box_id: str) -> None:
        for count in range(len(self._mounts)):
            clear_place(self._place / f"{box_id}-{count}")

    def clear(self) -> None:
        """Take back everything, also what a server that was killed has left."""
        with suppress(FileNotFoundError):
            for place in list(self._place.iterdir()):
                clear_place(place)
            self._place.rmdir()

    def _shown(self, lent: Mount, place: Path) -> Mount:
        if not self._possible:
            return lent
        try:
            _overlay(lent.source, self._place / _EMPTY, place)
        except OSError as error:
            log.warning("folder.path_shows", folder=lent.target, reason=str(error))
            clear_place(place)
            return lent
        return replace(lent, source=place)


def _overlay(folder: Path, empty: Path, place: Path) -> None:
    for made in (empty, place):
        made.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # one layer alone is refused
        mount("overlay", place, "overlay", NOSUID | NODEV | READ_ONLY, f"lowerdir=/proc/self/fd/{fd}:{empty}")
    finally:
        os.close(fd)
