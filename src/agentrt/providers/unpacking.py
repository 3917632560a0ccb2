"""A body as it was before it was compressed: some gateways do that although they were asked not to. Pure."""

import zlib

from .connection_failures import Broken, NotHttp

_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate"})
_EITHER, _BARE = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS
# A few bytes may stand for a thousand times as many.
_MOST_AT_ONCE = 256 * 1024


class Unpacking:
    """Feed it what was read once `next` gives nothing more; `pending`: it may give more. NotHttp for what is not compressed
    as `coding` says."""

    def __init__(self, coding: bytes) -> None:
        self._coding, self._packed = coding, b""
        self._begun = self.pending = False
        self._inflate = zlib.decompressobj(_EITHER)

    def feed(self, piece: bytes) -> None:
        if self._coding not in _CODINGS:
            raise NotHttp("it compresses its answer in a way that cannot be read")
        if not self._begun and self._coding == b"deflate" and piece[0] & 0x0F != 8:
            self._inflate = zlib.decompressobj(_BARE)  # what many servers take the word for
        self._begun, self.pending, self._packed = True, True, piece

    def next(self) -> bytes:
        """The next piece, of bounded size; empty where more must be fed first."""
        if not self.pending:
            return b""
        try:
            out = self._inflate.decompress(self._packed, _MOST_AT_ONCE)
        except zlib.error as exc:
            raise NotHttp("it sent a damaged compressed answer") from exc
        self._packed = self._inflate.unconsumed_tail
        self.pending = bool(self._packed) or len(out) == _MOST_AT_ONCE
        return out

    def end(self) -> None:
        """Broken where the body ended before what was compressed did."""
        if self._begun and not self._inflate.eof:
            raise Broken
