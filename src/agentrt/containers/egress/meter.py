"""How much a sandbox asked for: requests in a minute, bytes in a day."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_METERS = 20_000
DAY_S = 86_400.0


class Meter:
    """Counts for one sandbox and one upstream. `refuse` says whether one more request may be made now."""

    __slots__ = ("_bytes_left", "_day_began", "_most_bytes", "_now", "_per_minute", "_refilled", "_tokens")

    def __init__(self, per_minute: int, per_day: int, now: Callable[[], float]) -> None:
        self._per_minute, self._most_bytes, self._now = per_minute, per_day, now
        self._tokens, self._refilled = float(per_minute), now()
        self._bytes_left, self._day_began = per_day, now()

    def refuse(self) -> tuple[str, float] | None:
        """None: one request more is counted. Else the stable word for what is used up, and in how many seconds it is not."""
        now = self._now()
        if now - self._day_began >= DAY_S:
            self._bytes_left, self._day_began = self._most_bytes, now
        if self._bytes_left <= 0:
            return "bytes_per_day", DAY_S - (now - self._day_began)
        self._tokens = min(self._per_minute, self._tokens + (now - self._refilled) * self._per_minute / 60)
        self._refilled = now
        if self._tokens < 1:
            return "requests_per_minute", (1 - self._tokens) * 60 / self._per_minute
        self._tokens -= 1
        return None

    def spend(self, size: int) -> bool:
        """Count bytes of either direction; False once there are none left for today: what flows is ended then."""
        self._bytes_left -= size
        return self._bytes_left >= 0


class Load:
    """Bytes of one sandbox that are held in memory at once."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    def take(self, size: int) -> bool:
        """False, and nothing is taken, where it would be too much."""
        if self._held + size > self._most:
            return False
        self._held += size
        return True

    def give_back(self, size: int) -> None:
        self._held -= size


class Meters:
    """One for each sandbox and upstream, the longest unused forgotten first."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._meters: OrderedDict[tuple[str, ...], Meter] = OrderedDict()

    def of(self, key: tuple[str, ...], per_minute: int, per_day: int) -> Meter:
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = Meter(per_minute, per_day, self._now)
            if len(self._meters) > MOST_METERS:
                self._meters.popitem(last=False)
        self._meters.move_to_end(key)
        return meter
