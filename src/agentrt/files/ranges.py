"""Which part of a file a request asks for (RFC 9110, sections 13 and 14). Pure."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*\Z", re.ASCII | re.IGNORECASE)


class Piece(msgspec.Struct, frozen=True):
    """The answer: its status, and the bytes from `start` on, `length` of them."""

    status: Literal[200, 206, 304, 416]
    start: int = 0
    length: int = 0


def wanted(headers: Mapping[str, str], size: int, etag: str) -> Piece:
    """The piece of a file of `size` bytes. `etag` stands in its quotes; names in `headers` are lowercase.

    Several ranges at once, and units that are none of ours, are answered with the whole file, as is a range with an `If-Range`
    that speaks of another one.
    """
    if _matches(headers.get("if-none-match", ""), etag):
        return Piece(304)
    whole = Piece(200, 0, size)
    found = _ONE_RANGE.match(headers.get("range", "").strip())
    if found is None or found.groups() == ("", "") or headers.get("if-range", etag).strip() != etag:
        return whole
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        return Piece(206, size - length, length) if length else Piece(416)
    start = int(first)
    if last and int(last) < start:
        return whole
    if start >= size:
        return Piece(416)
    return Piece(206, start, (min(int(last), size - 1) if last else size - 1) - start + 1)


def _matches(told: str, etag: str) -> bool:
    """Weakly: what is the same byte for byte is also the same in meaning."""
    return told.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in told.split(","))
