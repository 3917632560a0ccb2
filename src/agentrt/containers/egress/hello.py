"""The name that a TLS client asks for, as its first message says it. Pure."""

MOST_HELLO = 32_768


class NoHello(Exception):
    """These bytes do not begin a TLS connection that names a server."""


def server_name(data: bytes) -> str | None:
    """The name in the ClientHello at the beginning of `data`, lower case; None while more of it is needed. NoHello."""
    message = _handshake(data)
    if message is None:
        return None
    try:
        return _name_in(message)
    except (IndexError, UnicodeDecodeError):
        raise NoHello from None


def _handshake(data: bytes) -> bytes | None:
    """The first handshake message, which may come in several records."""
    out, at = b"", 0
    while True:
        if len(out) >= 4:
            size = int.from_bytes(out[1:4])
            if out[0] != 1 or size > MOST_HELLO:
                raise NoHello
            if len(out) >= 4 + size:
                return out[4 : 4 + size]
        record = data[at : at + 5]
        if record[:1] not in (b"", b"\x16") or record[1:2] not in (b"", b"\x03"):
            raise NoHello
        if len(record) < 5:
            return None
        size = int.from_bytes(record[3:5])
        if not 0 < size <= 16_640:
            raise NoHello
        piece = data[at + 5 : at + 5 + size]
        out += piece
        at += 5 + size
        if len(piece) < size and not (len(out) >= 4 and len(out) >= 4 + int.from_bytes(out[1:4])):
            if len(data) > 2 * MOST_HELLO:
                raise NoHello
            return None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        out = self._data[self._at : self._at + size]
        if len(out) < size:
            raise IndexError
        self._at += size
        return out

    def vector(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width)))


def _name_in(message: bytes) -> str:
    hello = _Reader(message)
    hello.take(2 + 32)  # version, random
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    extensions = _Reader(hello.vector(2))
    names: list[str] = []
    while extensions.left:
        kind, body = int.from_bytes(extensions.take(2)), _Reader(extensions.vector(2))
        if kind == 0:
            listed = _Reader(body.vector(2))
            while listed.left:
                listed.take(1)
                names.append(listed.vector(2).decode("ascii").lower())
    if len(names) != 1:
        raise NoHello
    return names[0]
