import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day, in microseconds since the epoch. Tests pass their own."""

    def now_us(self) -> int: ...


class SystemClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000


def rfc3339(us: int) -> str:
    """Microseconds since the epoch as RFC 3339 in UTC, with a `Z`."""
    whole, rest = divmod(us, 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
