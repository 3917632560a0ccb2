"""The files of a workspace from outside. Whoever works inside may swap any name for a link at any moment: every path is
looked up by the kernel beneath the workspace, with no link followed, and what was opened is judged, not its name.

Every method may wait for the disk: call it in a thread, unless what is asked for is small and the box is idle.
"""

import contextlib
import errno
import os
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

import msgspec

from agentrt.kernel import AgentrtError, Invalid, NotFound, TooLarge, Unavailable

from ..spec import MIB
from . import snapshots, zipping
from .beneath import CHANGE, checked, explain, full, open_beneath, open_file, open_folder, regain
from .globs import Pattern
from .snapshots import Snapshot
from .walking import Walk, remove_folder

MOST_BYTES = 64 * MIB
MOST_LISTED, MOST_SEEN = 10_000, 100_000
PART = ".agentrt-part-"
"""What names begin with, at the root of a workspace, for as long as their content is not whole. They are not told."""

EntryKind = Literal["file", "folder", "link", "other"]


class Entry(msgspec.Struct, frozen=True):
    """Something in a workspace; `path` is relative to it, `size` in bytes, `modified_at` in microseconds since the epoch."""

    path: str
    kind: EntryKind
    size: int
    modified_at: int


class Listing(msgspec.Struct, frozen=True):
    """What was found, sorted by path. `complete` is false where there was more than may be told. Files whose names nobody can ask
    for (control characters, no UTF-8) are left out."""

    entries: tuple[Entry, ...]
    complete: bool = True


class Usage(msgspec.Struct, frozen=True):
    """Bytes and inodes, used and there are."""

    used_bytes: int
    bytes: int
    used_inodes: int
    inodes: int


class Size(msgspec.Struct, frozen=True):
    """How large a workspace may grow."""

    disk_mb: int
    inodes: int


class OpenFile(msgspec.Struct, frozen=True):
    """A regular file, open for reading; `file` yields at most what it held when it was opened."""

    file: BinaryIO
    size: int


class Tree:
    """The files below `root`. `owner` is given to what is written, where this process may. `limits` where no file system of its
    own keeps the workspace in bounds; then `full` refuses what would be written."""

    def __init__(self, root: Path, owner: int | None = None, limits: Size | None = None) -> None:
        self._fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # its number is nobody else's for as long as a thread may still use it
        weakref.finalize(self, os.close, self._fd)
        self._closed = self.full = False
        self.owner, self._limits = owner, limits

    @property
    def descriptor(self) -> int:
        """Of the root folder, O_PATH; valid until `close`."""
        return self._root

    @property
    def _root(self) -> int:
        self._check_open()
        return self._fd

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the workspace was closed meanwhile", code="workspace_unavailable")

    def close(self) -> None:
        """The workspace cannot be unmounted before. What is under way in threads fails."""
        self._closed = True
        nothing = os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)
        os.dup2(nothing, self._fd, inheritable=False)
        os.close(nothing)

    def read(self, path: str, offset: int = 0, limit: int = MOST_BYTES) -> bytes:
        """Bytes of a regular file from `offset`, at most `limit` of them. Invalid, NotFound."""
        fd, found = open_file(self._root, checked(path))
        try:
            return b"" if offset >= found.st_size else b"".join(_pieces(fd, max(0, offset), limit))
        except OSError as exc:
            self._explain(exc, path)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def open(self, path: str, most_bytes: int | None = None) -> Iterator[OpenFile]:
        """A regular file to stream from. Invalid, NotFound; TooLarge above `most_bytes`."""
        fd, found = open_file(self._root, checked(path))
        with os.fdopen(fd, "rb", buffering=0) as file:
            if most_bytes is not None and found.st_size > most_bytes:
                raise TooLarge(f"{path[:120]!r} is larger than {most_bytes} bytes", code="file_too_large", param="path")
            yield OpenFile(file, found.st_size)

    def write(self, path: str, data: bytes, *, most_bytes: int = MOST_BYTES) -> None:
        """Put a file there at once and whole, with the folders that it needs; an earlier one keeps its mode.

        Invalid where something else than a file is there; TooLarge above `most_bytes`, or where the workspace is full.
        """
        with self.writing(path, most_bytes=most_bytes) as file:
            file.write(data)

    @contextlib.contextmanager
    def writing(self, path: str, *, most_bytes: int = MOST_BYTES, executable: bool = False) -> Iterator["Capped"]:
        """As `write`, for bytes that come piece by piece: the file is there when the block ends, and not if it raises."""
        folder_path, _, name = checked(path).rpartition("/")
        if name in ("", "."):
            raise Invalid("the path names no file", code="invalid_path", param="path")
        if self.full:
            raise full()
        folder = self._make_folders(folder_path)
        try:
            mode = _mode_there(folder, name, path) | (0o111 if executable else 0)
            yield from self._written(folder, name, mode, most_bytes)
        except OSError as exc:
            self._explain(exc, path)
        finally:
            os.close(folder)

    def mkdir(self, path: str) -> None:
        """A folder, with those above it; fine where it is there."""
        try:
            os.close(self._make_folders(checked(path)))
        except OSError as exc:
            self._explain(exc, path)

    def stat(self, path: str) -> Entry:
        """What is at `path`; a link is told as a link. Invalid, NotFound."""
        path = checked(path)
        try:
            fd = open_beneath(self._root, path, os.O_PATH)
        except OSError as exc:
            self._explain(exc, path)
        try:
            return entry_of(path, os.fstat(fd))
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether anything is at `path`, a link too. Invalid."""
        try:
            self.stat(path)
        except NotFound:
            return False
        return True

    def list(self, path: str = ".", *, recursive: bool = False, most: int = MOST_LISTED) -> Listing:
        """What is in a folder. Invalid, NotFound."""
        walk = Walk(self._root, checked(path), deep=recursive, most=most)
        return _listing(walk, (entry_of(at, found) for at, found in _finished(walk)))

    def glob(self, pattern: str, path: str = ".", *, most: int = MOST_LISTED) -> Listing:
        """What matches a pattern of `*`, `?`, `[…]` and `**`, relative to `path`; names that begin with a dot only where the
        pattern's part does too. Invalid, NotFound."""
        base, wanted = checked(path), Pattern(checked(pattern))
        walk = Walk(self._root, base, deep=wanted.deep, most=MOST_SEEN)
        entries: list[Entry] = []
        for at, found in _finished(walk):
            if wanted.matches(at if base == "." else at[len(base) + 1 :]):
                if len(entries) == most:
                    return Listing(tuple(sorted(entries, key=_path)), False)
                entries.append(entry_of(at, found))
        return _listing(walk, entries)

    def delete(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, a link itself, or a folder: an empty one, or `recursive` with all that is in it. Invalid, NotFound."""
        folder_path, _, name = checked(path).rpartition("/")
        if name in ("", "."):
            raise Invalid("the workspace itself cannot be deleted as a path", code="invalid_path", param="path")
        folder = open_folder(self._root, folder_path or ".")
        try:
            regain(folder, CHANGE)
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
            elif recursive:
                remove_folder(folder, name)
            else:
                os.rmdir(name, dir_fd=folder)
        except OSError as exc:
            self._explain(exc, path)
        finally:
            os.close(folder)

    def move(self, path: str, to: str) -> None:
        """Give something another name; the folder of the new one is made. Invalid, NotFound; Invalid where `to` is there."""
        parent, _, name = checked(path).rpartition("/")
        new_parent, _, new_name = checked(to).rpartition("/")
        if "." in (name, new_name):
            raise Invalid("the workspace itself cannot be moved", code="invalid_path", param="path")
        source = open_folder(self._root, parent or ".")
        try:
            target = self._make_folders(new_parent)
            try:
                regain(source, CHANGE)
                if _is_there(target, new_name):
                    self._explain(FileExistsError(errno.EEXIST, "exists"), to)
                os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
            except OSError as exc:
                self._explain(exc, path)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def sweep(self, prefix: str = PART) -> None:
        """Remove what was being written when a server was killed; or what of it begins with `prefix`."""
        left = [path for path, _ in Walk(self._root, ".", deep=False, most=MOST_SEEN) if path.startswith(prefix)]
        for path in left:
            with contextlib.suppress(AgentrtError):  # code inside may name its own like this, and nest it as it likes
                self.delete(path, recursive=True)

    def snapshot(self, most: int = snapshots.MOST_SEEN) -> Snapshot:
        """The files as they are now. Cheap for a small workspace; stops after `most` of whatever is there."""
        return snapshots.snapshot(self._root, most)

    def usage(self) -> Usage:
        """Used and there is; where no volume holds it, counted, of the first hundred thousand names."""
        if self._limits is not None:
            walk = Walk(self._root, ".", deep=True, most=MOST_SEEN)
            sizes = [found.st_blocks * 512 for _, found in walk]
            return Usage(sum(sizes), self._limits.disk_mb * MIB, len(sizes) + walk.unnameable, self._limits.inodes)
        found = os.fstatvfs(self._root)
        size = found.f_frsize
        return Usage((found.f_blocks - found.f_bfree) * size, found.f_blocks * size, found.f_files - found.f_ffree, found.f_files)

    def zip(
        self, path: str = ".", *, without: str = "", most_bytes: int = 1024 * MIB, most_files: int = MOST_LISTED
    ) -> Iterator[bytes]:
        """The regular files below a folder as a zip, piece by piece as it is made; links are left out, and so is what has the
        name `without`.

        Invalid, NotFound and TooLarge come before the first piece.
        """
        base = checked(path)
        walk = Walk(self._root, base, deep=True, most=most_files, skips=without.__eq__)
        found = sorted((entry_of(at, status) for at, status in _finished(walk)), key=_path)
        files = [entry for entry in found if entry.kind == "file"]
        if not walk.complete:
            raise TooLarge(f"there are more than {most_files} files to pack", code="too_many_files")
        if sum(entry.size for entry in files) > most_bytes:
            raise TooLarge(f"there are more than {most_bytes} bytes to pack", code="workspace_too_large")
        cut = 0 if base == "." else len(base) + 1
        # some who unpack take a backslash for a slash, and would be led out of their folder
        return zipping.pieces((entry.path[cut:].replace("\\", "%5C"), self._reader(entry)) for entry in files)

    def _reader(self, entry: Entry) -> zipping.Reader:
        def read() -> Iterator[bytes]:
            with self.open(entry.path) as found:
                yield from _pieces(found.file.fileno(), 0, min(entry.size, found.size))

        return zipping.Reader(entry.size, entry.modified_at, read)

    def _make_folders(self, path: str) -> int:
        """A descriptor of the folder at `path`, made where it was missing."""
        at = open_folder(self._root, ".")
        for part in path.split("/") if path not in ("", ".") else ():
            try:
                try:
                    below = open_beneath(at, part, os.O_RDONLY | os.O_DIRECTORY)
                except FileNotFoundError:
                    regain(at, CHANGE)
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=at)
                    below = open_beneath(at, part, os.O_RDONLY | os.O_DIRECTORY)
                    self._give(below)
            except OSError as exc:
                self._explain(exc, path)
            finally:
                os.close(at)
            at = below
        return at

    def _written(self, folder: int, name: str, mode: int, most_bytes: int) -> Iterator["Capped"]:
        root, part = self._root, PART + os.urandom(8).hex()
        regain(root, CHANGE)
        regain(folder, CHANGE)
        fd = open_beneath(root, part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb", buffering=0) as file:
                yield Capped(file, most_bytes)
                self._give(fd)
                os.fchmod(fd, mode)
            os.rename(part, name, src_dir_fd=root, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=root)
            raise

    def _explain(self, exc: OSError, path: str) -> NoReturn:
        self._check_open()  # or what no longer leads anywhere would be told as somebody's mistake
        explain(exc, path)

    def _give(self, fd: int) -> None:
        if self.owner is not None:
            os.fchown(fd, self.owner, self.owner)


class Capped:
    """Takes bytes up to a limit."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._left, self._most = file, most, most

    def write(self, data: bytes) -> None:
        """TooLarge past the limit."""
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(f"the file is larger than {self._most} bytes", code="file_too_large")
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


def entry_of(path: str, found: os.stat_result) -> Entry:
    """What a stat says."""
    kinds: dict[int, EntryKind] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    kind = kinds.get(stat.S_IFMT(found.st_mode), "other")
    return Entry(path, kind, found.st_size if kind == "file" else 0, found.st_mtime_ns // 1000)


def _finished(walk: Walk) -> Iterator[tuple[str, os.stat_result]]:
    return ((path, found) for path, found in walk if not path.startswith(PART))


def _listing(walk: Walk, entries: Iterator[Entry] | list[Entry]) -> Listing:
    return Listing(tuple(sorted(entries, key=_path)), walk.complete)


def _path(entry: Entry) -> str:
    return entry.path


def _mode_there(folder: int, name: str, path: str) -> int:
    """The mode of the file that is replaced; Invalid where something else is there."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0o644
    if not stat.S_ISREG(found.st_mode):
        kind = entry_of(path, found).kind
        what = f"a {kind}" if kind != "other" else "not a regular file"
        raise Invalid(f"at {path[:120]!r} there is {what}, which is not written over", code="not_a_file", param="path")
    return stat.S_IMODE(found.st_mode) & 0o777


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _pieces(fd: int, offset: int, limit: int) -> Iterator[bytes]:
    while limit > 0 and (piece := os.pread(fd, min(limit, MIB), offset)):
        yield piece
        offset += len(piece)
        limit -= len(piece)
