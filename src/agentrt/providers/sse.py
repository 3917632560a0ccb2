"""Server-sent events, as far as providers use them: the data of each event, from bytes cut anywhere.

Bytes are looked for with `find`: `in` makes an exception and drops it before it looks, once for each event.
"""

_BOM = b"\xef\xbb\xbf"

# No provider sends an event near this size; a body that is not an event stream must not fill the memory.
MAX_EVENT = 32 * 1024 * 1024


class EventTooLarge(ValueError):
    """One event exceeds `MAX_EVENT` bytes."""


class SseSplitter:
    """Feed it what was read, get the data of every event that is whole now.

    Lines end with LF, CRLF or CR; comments, other fields and events without data are dropped; several data lines of one
    event are joined by LF. A character or line end that is cut in half waits for its other half.
    """

    __slots__ = ("_open", "_size", "_skip_lf")

    def __init__(self) -> None:
        self._open: list[bytes] = []  # pieces of the event that is not whole yet
        self._size = 0
        self._skip_lf = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` completes, in order. EventTooLarge beyond `MAX_EVENT` bytes."""
        if piece.find(b"\r") >= 0 or self._skip_lf:
            piece = self._with_lf(piece)
        if self._open:
            if piece.find(b"\n") < 0:
                self._keep(piece)
                return []
            self._open.append(piece)
            piece = b"".join(self._open)
            self._open.clear()
            self._size = 0
        blocks = piece.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._keep(rest)
        out = []
        for block in blocks:
            # The common event is one data line: no need to look at it line by line.
            if block[:6] == b"data: " and block.find(b"\n") < 0:
                out.append(block[6:])
            elif (data := _data_of(block)) is not None:
                out.append(data)
        return out

    def end(self) -> bytes | None:
        """The data of a last event whose closing blank line never came, if there is any."""
        block = b"".join(self._open)
        self._open.clear()
        return _data_of(block)

    def _with_lf(self, piece: bytes) -> bytes:
        if self._skip_lf and piece[:1] == b"\n":
            piece = piece[1:]
            self._skip_lf = False
        if piece:
            self._skip_lf = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_EVENT:
            raise EventTooLarge
        self._open.append(piece)


def _data_of(block: bytes) -> bytes | None:
    lines = []
    for line in block.removeprefix(_BOM).split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines) if lines else None
