"""Archives that somebody sent, unpacked without believing them."""

import contextlib
import io
import lzma
import os
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import IO, BinaryIO

import msgspec

from agentrt.kernel import AgentrtError, Invalid, TooLarge

from ..spec import MIB
from .beneath import checked
from .decompress import Decompressor, decompressed, decompressor_for
from .tree import PART, Tree

_PIECE = 256 * 1024
# what describes an archive is read at once by the libraries; nobody honest needs more
_MOST_AT_ONCE = 4 * MIB
_RATIO, _RATIO_FROM = 200, 16 * MIB
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError)


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive may unpack to."""

    members: int = 10_000
    bytes: int = 256 * MIB


class _Member(msgspec.Struct, frozen=True):
    path: str
    is_folder: bool
    size: int
    executable: bool
    open: Callable[[], IO[bytes] | None]


def safe_extract(archive: BinaryIO, tree: Tree, into: str = ".", caps: Caps | None = None) -> list[str]:
    """Unpack a zip or a tar (also .gz, .bz2, .xz) into a folder of `tree`; the paths of the files written there.

    `archive` can be sought in. Regular files and folders only; names that lead out, links, devices, doubles, bombs: the whole
    archive is refused, and judged before anything is written. Nothing that is there already is written over. Invalid,
    TooLarge; then nothing of it stays.
    """
    base, caps = checked(into), caps or Caps()
    with contextlib.ExitStack() as stack:
        try:
            members = _listed(archive, stack, caps)
        except _BROKEN as exc:
            raise _refused("it is damaged, or no archive that is known here") from exc
        _judge(members, caps)
        return _unpack(members, tree, base)


def _listed(archive: BinaryIO, stack: contextlib.ExitStack, caps: Caps) -> list[_Member]:
    archive.seek(0)
    head = archive.read(512)
    archive.seek(0)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return _of_zip(archive, stack, caps)
    if decompressor := decompressor_for(head):
        return _of_tar(_unpacked(archive, decompressor, stack, caps), stack, caps)
    if head[257:262] == b"ustar":
        return _of_tar(archive, stack, caps)
    raise _refused("it is neither a zip nor a tar")


def _of_zip(archive: BinaryIO, stack: contextlib.ExitStack, caps: Caps) -> list[_Member]:
    packed = stack.enter_context(zipfile.ZipFile(_Careful(archive)))
    infos = packed.infolist()
    if len(infos) > caps.members:
        raise _too_many(caps)
    _no_overlaps(infos)
    return [_zip_member(packed, info) for info in infos]


def _zip_member(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(f"{_shown(info.filename)} is no regular file")
    if "\0" in info.orig_filename:
        raise _refused("a name holds a NUL")
    if info.flag_bits & 0x1:
        raise _refused("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused("its compression is not known here")
    if info.file_size > _RATIO_FROM and info.file_size > _RATIO * max(1, info.compress_size):
        raise _bomb()
    return _Member(info.filename, info.is_dir(), info.file_size, bool(mode & 0o100), lambda: packed.open(info))


def _no_overlaps(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Members that share their bytes make a small archive of petabytes."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise _bomb()
        end = info.header_offset + 30 + len(info.orig_filename) + info.compress_size


def _of_tar(archive: BinaryIO, stack: contextlib.ExitStack, caps: Caps) -> list[_Member]:
    packed = stack.enter_context(tarfile.TarFile(fileobj=_Careful(archive), mode="r"))
    members = []
    for info in packed:
        if len(members) == caps.members:
            raise _too_many(caps)
        if not info.isdir() and (not info.isreg() or info.issparse()):
            raise _refused(f"{_shown(info.name)} is no regular file")
        executable = bool(info.mode & 0o100)
        members.append(_Member(info.name, info.isdir(), info.size, executable, lambda info=info: packed.extractfile(info)))
    return members


def _unpacked(archive: BinaryIO, decompressor: Callable[[], Decompressor], stack: contextlib.ExitStack, caps: Caps) -> BinaryIO:
    """The tar inside, in a file that nobody sees; the caps hold while it grows."""
    spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    # headers and padding come on top of what is unpacked
    most = caps.bytes + caps.members * 2048 + MIB
    size = 0
    for piece in decompressed(archive, decompressor):
        size += len(piece)
        if size > most:
            raise _too_large(caps)
        if size > _RATIO_FROM and size > _RATIO * archive.tell():
            raise _bomb()
        spool.write(piece)
    spool.seek(0)
    return spool


class _Careful(io.RawIOBase):
    """A file of which nobody reads more at once than an honest archive needs: a header may claim to be gigabytes long."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        if size > _MOST_AT_ONCE:
            raise _refused("a part of what describes it is too large")
        data = self._file.read(_MOST_AT_ONCE + 1 if size < 0 else size)
        if len(data) > _MOST_AT_ONCE:
            raise _refused("a part of what describes it is too large")
        return data


def _judge(members: Sequence[_Member], caps: Caps) -> None:
    """Invalid or TooLarge for what must not be unpacked."""
    seen: dict[str, tuple[str, bool]] = {}
    total = 0
    for member in members:
        if "\\" in member.path:
            raise _refused(f"the name {_shown(member.path)} holds a backslash")
        path = checked(member.path)
        if path == "." and not member.is_folder:
            raise _refused("a member has no name")
        if member.size < 0:
            raise _refused("a member has no length")
        if path != ".":
            _no_doubles(path, member.is_folder, seen)
        total += member.size
        if total > caps.bytes:
            raise _too_large(caps)


def _no_doubles(path: str, is_folder: bool, seen: dict[str, tuple[str, bool]]) -> None:
    """Two members that are one name on some file system, or a file that is a folder too."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        part = "/".join(parts[:depth])
        folder = is_folder or depth < len(parts)
        key = unicodedata.normalize("NFC", part).casefold()
        known = seen.setdefault(key, (part, folder))
        if known != (part, folder) or (depth == len(parts) and not folder and key + "/" in seen):
            raise _refused(f"{_shown(path)} is in it twice, or only differs in case from another name")
        if depth == len(parts) and not folder:
            seen[key + "/"] = (part, False)  # a file is there once, a folder as often as it likes


def _unpack(members: Sequence[_Member], tree: Tree, base: str) -> list[str]:
    """Into a folder aside first: what is there is not written over, and nothing stays of what fails, or is cut off."""
    prefix = "" if base == "." else f"{base}/"
    tops = sorted({checked(member.path).split("/")[0] for member in members} - {"."})
    for top in tops:
        if tree.exists(prefix + top):
            raise Invalid(f"{_shown(prefix + top)} is there already", code="path_exists", param="path")
    aside = f"{PART}{os.urandom(8).hex()}"
    tree.mkdir(aside)
    try:
        written = [path for member in members if (path := _written(member, tree, aside))]
        if base == "." or tree.exists(base):
            for top in tops:
                tree.move(f"{aside}/{top}", prefix + top)
        else:
            tree.move(aside, base)  # all at once
    except _BROKEN as exc:
        raise _refused("it is damaged") from exc
    finally:
        with contextlib.suppress(AgentrtError):
            tree.delete(aside, recursive=True)
    return [prefix + path for path in written]


def _written(member: _Member, tree: Tree, aside: str) -> str:
    """The path of the file that was written; empty for a folder."""
    path = checked(member.path)
    if member.is_folder:
        tree.mkdir(f"{aside}/{path}")
        return ""
    left = member.size
    source = member.open()
    if source is None:
        raise _refused(f"{_shown(path)} is no regular file")
    with source, tree.writing(f"{aside}/{path}", most_bytes=member.size, executable=member.executable) as target:
        while left and (piece := source.read(min(left, _PIECE))):
            target.write(piece)
            left -= len(piece)
        # a zip's own check of its sum comes with the end
        if left or source.read(1):
            raise EOFError("a member is not as long as it says")
    return path


def _refused(why: str) -> Invalid:
    return Invalid(f"the archive is refused: {why}", code="archive_refused")


def _bomb() -> TooLarge:
    return TooLarge("the archive is refused: it unpacks to far more than it is", code="archive_too_large")


def _too_many(caps: Caps) -> TooLarge:
    return TooLarge(f"the archive is refused: it has more than {caps.members} members", code="archive_too_large")


def _too_large(caps: Caps) -> TooLarge:
    return TooLarge(f"the archive is refused: it unpacks to more than {caps.bytes} bytes", code="archive_too_large")


def _shown(name: str) -> str:
    return ascii(name[:120])
