"""JSON lines: one document per line, from bytes cut anywhere."""

# No provider sends a line near this size; a body that is not made of lines must not fill the memory.
MAX_LINE = 32 * 1024 * 1024


class LineTooLong(ValueError):
    """One line exceeds `MAX_LINE` bytes."""


class LineSplitter:
    """Feed it what was read, get every line that is whole now, without its end (LF or CRLF); blank ones are dropped.

    A line feed is never part of a longer character in UTF-8, so that a character cut in half just waits for its other half.
    """

    __slots__ = ("_open", "_size")

    def __init__(self) -> None:
        self._open: list[bytes] = []  # pieces of the line that is not whole yet
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that `piece` completes, in order. LineTooLong beyond `MAX_LINE` bytes."""
        if b"\n" not in piece:
            self._keep(piece)
            return []
        lines = piece.split(b"\n")
        if self._open:
            self._open.append(lines[0])
            lines[0] = b"".join(self._open)
            self._open.clear()
            self._size = 0
        if rest := lines.pop():
            self._keep(rest)
        return [whole for line in lines if (whole := line.strip())]

    def end(self) -> bytes | None:
        """A last line that was never ended, if there is any."""
        line = b"".join(self._open).strip()
        self._open.clear()
        return line or None

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_LINE:
            raise LineTooLong
        self._open.append(piece)
