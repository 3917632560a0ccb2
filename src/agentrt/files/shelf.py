"""Bytes on disk under their SHA-256. Everything here waits for the disk: it is called in threads.

<folder>/incoming/<random>     being written; void after a crash
<folder>/<2 hex>/<62 hex>      whole, and never changed
<folder>/swept                 until when was looked for what crashes left
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from agentrt.kernel import TooLarge, Unavailable

_MARK = "swept"


class Shelf:
    """`durable`: what was stored also survives a power loss."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder, self.durable = folder, durable
        self.incoming = folder / "incoming"

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256[2:]

    def put(self, data: bytes) -> str:
        """Store bytes; their hash. Unavailable where the disk refuses."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.path(sha256).exists():
            with Part(self) as part:
                part.write(data)
                part.keep()
        return sha256

    def remove(self, sha256: str) -> None:
        """Fine where it is not there. OSError."""
        self.path(sha256).unlink(missing_ok=True)

    def swept_until(self) -> int:
        """What `sweep_until` was told last, in microseconds; 0 at first. OSError."""
        mark = self.folder / _MARK
        told = mark.read_text() if mark.is_file() else ""
        return int(told) if told.isdigit() else 0

    def sweep_until(self, at: int) -> None:
        """OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _MARK).write_text(str(at))

    def clear_incoming(self) -> None:
        """Remove what an earlier process was cut off from writing. OSError."""
        for part in self.incoming.iterdir() if self.incoming.is_dir() else ():
            part.unlink(missing_ok=True)

    def hashes(self, first: str) -> set[str]:
        """What is stored whose hash begins with these two digits. OSError."""
        folder = self.folder / first
        return {first + path.name for path in folder.iterdir()} if folder.is_dir() else set()


class Part:
    """A file that is being written, at most `most_bytes` long. A crash leaves it a part, never half a file under its hash.

    TooLarge past the limit, Unavailable where the disk refuses.
    """

    def __init__(self, shelf: Shelf, most_bytes: int | None = None) -> None:
        self._shelf, self._most = shelf, most_bytes
        self._hash = hashlib.sha256()
        self._path = shelf.incoming / os.urandom(8).hex()
        self.size = 0
        with _told():
            shelf.incoming.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb", buffering=0)

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._most is not None and self.size > self._most:
            raise TooLarge(f"the file is larger than {self._most} bytes", code="file_too_large", param="file")
        self._hash.update(data)
        view = memoryview(data)
        with _told():
            while view:
                view = view[self._file.write(view) :]

    def keep(self) -> None:
        """It is whole: put it under its hash."""
        target = self._shelf.path(self.sha256)
        with _told():
            if target.exists():
                return
            target.parent.mkdir(exist_ok=True)
            if self._shelf.durable:
                os.fsync(self._file.fileno())
            self._path.replace(target)
            if self._shelf.durable:
                _sync(target.parent)
                _sync(self._shelf.folder)

    def drop(self) -> None:
        """Forget what was not kept."""
        self._file.close()
        with contextlib.suppress(OSError):  # swept at the next start
            self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable(f"a file cannot be stored: {exc.strerror}", code="storage_unavailable") from exc


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
