"""Strings as JSON bytes that every client can read."""

from typing import Any

import msgspec

from agentrt.http import one_line

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
    return data if text.isascii() else one_line(data)


def line(value: Any) -> bytes:
    """Any JSON value on one line."""
    return one_line(encode(value))
