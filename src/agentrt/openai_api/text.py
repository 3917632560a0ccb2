"""Strings as JSON bytes that every client can read."""

from typing import Any

import msgspec

encode = msgspec.json.Encoder().encode


def quoted(text: str) -> bytes:
    """`text` as a JSON string.

    Half surrogate pairs become U+FFFD, and what some line readers take for the end of a line is escaped: a server-sent
    event is one line.
    """
    try:
        data = encode(text)
    except UnicodeEncodeError:
        data = encode(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    return data if text.isascii() else _escaped(data)


def line(value: Any) -> bytes:
    """Any JSON value on one line."""
    return _escaped(encode(value))


def _escaped(data: bytes) -> bytes:
    for sign, escape in ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085")):
        if sign in data:
            data = data.replace(sign, escape)
    return data
