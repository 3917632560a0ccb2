"""Ids: a prefix and a UUIDv7 body (RFC 9562, section 5.7) in hex, so that they sort by birth."""

import os
import re
import time

_BODY = re.compile(r"[0-9a-f]{32}\Z")
_BLOCK = 4096
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


class _Random:
    """Random digits of the system, drawn in blocks: one system call per id would cost more than everything else of it."""

    def __init__(self) -> None:
        self._block, self._at = "", 0
        os.register_at_fork(after_in_child=self._forget)  # or parent and child would go on with the same digits

    def digits(self, count: int) -> str:
        """Hexadecimal ones."""
        end = self._at + count
        if end > len(self._block):
            self._block, end = os.urandom(_BLOCK).hex(), count
        self._at = end
        return self._block[end - count : end]

    def _forget(self) -> None:
        self._block, self._at = "", 0


_random = _Random()


def new_body() -> str:
    """32 hex digits: 48 bits of milliseconds, version and variant bits, 74 random bits."""
    ms, digits = time.time_ns() // 1_000_000, _random.digits(19)
    return f"{ms:012x}7{digits[:3]}{_VARIANT[digits[3]]}{digits[4:]}"


def new_id(prefix: str) -> str:
    """A fresh id such as `run_0199…`."""
    return f"{prefix}_{new_body()}"


def is_id(prefix: str, value: str) -> bool:
    """Whether `value` has the shape of an id with that prefix."""
    return value.startswith(prefix + "_") and _BODY.match(value, len(prefix) + 1) is not None


def body_of(value: str) -> str:
    """The part after the prefix."""
    return value.partition("_")[2]
