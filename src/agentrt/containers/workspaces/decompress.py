"""Decompressing what somebody sent, piece by piece: whoever reads stops when it is enough."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

_PIECE = 256 * 1024
_XZ_MEMORY = 128 * 1024 * 1024


def decompressor_for(head: bytes) -> "Callable[[], Decompressor] | None":
    """What undoes the compression of a file that begins with `head`; None for one that is not compressed."""
    return next((made for magic, made in _COMPRESSED.items() if head.startswith(magic)), None)


def decompressed(archive: BinaryIO, decompressor: "Callable[[], Decompressor]") -> Iterator[bytes]:
    """Every stream in it, one after the other. EOFError where it ends too early; the errors of zlib, lzma and bz2 (OSError)."""
    current = decompressor()
    while data := archive.read(_PIECE):
        while data:
            if current.eof:
                if not data.strip(b"\0"):
                    break  # padding
                current = decompressor()
            yield current.decompress(data, _PIECE)
            while not current.eof and not current.needs_input:
                yield current.decompress(b"", _PIECE)
            data = current.unused_data if current.eof else b""
    if not current.eof:
        raise EOFError("the archive ends too early")


class Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """zlib in that shape."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._full

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(out) == max_length
        return out


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_COMPRESSED: dict[bytes, Callable[[], Decompressor]] = {
    b"\x1f\x8b": _Gunzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": _xz,
}
