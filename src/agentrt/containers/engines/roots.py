"""The files of images as boxes see them: by a way that tells nothing of this machine.

Code in a box reads in /proc/self/mountinfo from which folder of a disk each mount comes. An overlay tells what it was mounted
with instead, and tells a relative path as it was given.
"""

import os
import secrets
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from ..mounts import clear_place, unmount_all

_PATIENCE_S = 10.0
_MARK = "view-"
log = structlog.get_logger()


class _View(msgspec.Struct, frozen=True):
    """A root that is mounted: which folder that was, and the device that it is now."""

    folder: tuple[int, int]
    device: int


class Roots:
    """Mounts each image once, read-only, below `folder`, for the boxes of one engine. Blocking; for several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._views: dict[Path, _View] = {}
        self._possible = os.geteuid() == 0
        self._swept = False
        self._lock = threading.Lock()

    def of(self, rootfs: Path) -> Path:
        """What to show as `rootfs`, a folder of that name in its image's: a mount of it; itself where this cannot be had."""
        if not self._possible:
            return rootfs
        place = self.folder / rootfs.parent.name
        with self._lock:
            try:
                if not self._stands(place, rootfs):
                    self._mount(rootfs, place)
            except (OSError, subprocess.SubprocessError) as error:
                log.warning("image.path_shows", reason=str(error))
                self._possible = False
                return rootfs
        return place

    def close(self) -> None:
        """Unmount what was mounted here; boxes that run keep what they see."""
        with self._lock:
            for place in self._views:
                clear_place(place)
            self._views.clear()

    def _stands(self, place: Path, rootfs: Path) -> bool:
        """Whether it is mounted there still, and still the image that has this name now."""
        view = self._views.get(place)
        if view is None:
            return False
        with suppress(OSError):
            if view == _View(_identity(rootfs), place.stat().st_dev):
                return True
        return False

    def _mount(self, rootfs: Path, place: Path) -> None:
        if not self._swept:
            self._sweep()
        unmount_all(place)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = f"ro,nosuid,nodev,lowerdir={rootfs.name}:{_mark(rootfs.parent)}"
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(place)],
            cwd=rootfs.parent,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        self._views[place] = _View(_identity(rootfs), place.stat().st_dev)

    def _sweep(self) -> None:
        """Take away what a server that was killed has left."""
        with suppress(FileNotFoundError):
            for place in list(self.folder.iterdir()):
                clear_place(place)
        self._swept = True


def _mark(image: Path) -> str:
    """An overlay needs a second layer. This one is empty, and its name tells in which mounts the image is used."""
    for known in image.glob(f"{_MARK}*"):
        return known.name
    (image / (fresh := f"{_MARK}{secrets.token_hex(8)}")).mkdir()
    return fresh


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
