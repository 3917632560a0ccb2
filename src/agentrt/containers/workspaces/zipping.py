"""A zip that is made while it is sent."""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from agentrt.kernel import Invalid, NotFound

_FIRST, _LAST = (datetime(year, 1, 2, tzinfo=UTC).timestamp() for year in (1980, 2107))  # what a zip can say
_PIECE = 64 * 1024


class Reader(msgspec.Struct, frozen=True):
    """A file to pack; `pieces` opens it."""

    size: int
    modified_at: int
    pieces: Callable[[], Iterator[bytes]]


class _Sink(io.RawIOBase):
    """What a zip file is written to: keeps what was not taken yet."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._waiting += data
        return len(data)

    def take(self, at_least: int = 1) -> bytes:
        if len(self._waiting) < at_least:
            return b""
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


def pieces(files: Iterable[tuple[str, Reader]]) -> Iterator[bytes]:
    """The zip of these files, by name. One that is gone when its turn comes is left out."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, reader in files:
            content = reader.pieces()
            try:
                first = next(content, b"")
            except (NotFound, Invalid):  # somebody inside removed or replaced it meanwhile
                continue
            yield from _file(packed, sink, _info(name, reader), first, content)
    yield sink.take()


def _file(packed: zipfile.ZipFile, sink: _Sink, info: zipfile.ZipInfo, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    with packed.open(info, "w", force_zip64=info.file_size >= zipfile.ZIP64_LIMIT) as target:
        target.write(first)
        for piece in rest:
            target.write(piece)
            if taken := sink.take(_PIECE):
                yield taken
    if taken := sink.take(_PIECE):
        yield taken


def _info(name: str, reader: Reader) -> zipfile.ZipInfo:
    at = datetime.fromtimestamp(min(max(reader.modified_at / 1e6, _FIRST), _LAST), UTC)
    info = zipfile.ZipInfo(name, at.timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100644 << 16
    info.file_size = reader.size
    return info
