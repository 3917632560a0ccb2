"""Ids: a prefix and a UUIDv7 body (RFC 9562, section 5.7) in hex, so that they sort by birth."""

import os
import re
import time

_BODY = re.compile(r"[0-9a-f]{32}\Z")


def new_body() -> str:
    """32 hex digits: 48 bits of milliseconds, version and variant bits, 74 random bits."""
    ms = time.time_ns() // 1_000_000
    rand = int.from_bytes(os.urandom(10))
    high = (ms << 16) | 0x7000 | (rand >> 68)
    low = 0x8000_0000_0000_0000 | (rand & 0x3FFF_FFFF_FFFF_FFFF)
    return f"{high:016x}{low:016x}"


def new_id(prefix: str) -> str:
    """A fresh id such as `run_0199…`."""
    return f"{prefix}_{new_body()}"


def is_id(prefix: str, value: str) -> bool:
    """Whether `value` has the shape of an id with that prefix."""
    return value.startswith(prefix + "_") and _BODY.match(value, len(prefix) + 1) is not None


def body_of(value: str) -> str:
    """The part after the prefix."""
    return value.partition("_")[2]
