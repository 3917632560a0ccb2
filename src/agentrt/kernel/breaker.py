"""A circuit breaker: a rolling failure ratio, one probe while half open."""

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """Counts outcomes and says whether to try. For one event loop: no lock.

    `window_s` seconds of outcomes are kept; once `min_calls` of them are there and at least `ratio` failed, it opens for
    `cooldown_s`, doubling up to `max_cooldown_s` while the probes fail.
    """

    def __init__(
        self,
        *,
        window_s: float = 30.0,
        min_calls: int = 5,
        ratio: float = 0.5,
        cooldown_s: float = 5.0,
        max_cooldown_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window, self._min, self._ratio = window_s, min_calls, ratio
        self._base, self._most, self._clock = cooldown_s, max_cooldown_s, clock
        self._seconds: deque[list[int]] = deque()  # [second, calls, failures], so that a busy window stays small
        self._calls = self._failures = 0
        self._cooldown = cooldown_s
        self._until = 0.0
        self.state: BreakerState = "closed"

    def retry_in(self) -> float:
        """Seconds until a probe is allowed; 0 when a call may go now."""
        return max(0.0, self._until - self._clock()) if self.state == "open" else 0.0

    def allow(self) -> bool:
        """Whether to make a call now. True from open means: this call is the probe, report its outcome."""
        if self.state == "closed":
            return True
        if self.state == "half_open" or self._clock() < self._until:
            return False
        self.state = "half_open"
        return True

    def record(self, ok: bool) -> None:
        """The outcome of a call that was allowed."""
        now = self._clock()
        if self.state == "half_open":
            self._settle_probe(ok, now)
        elif self.state == "closed":
            self._count(int(now), 0 if ok else 1)
            if not ok and self._calls >= self._min and self._failures / self._calls >= self._ratio:
                self.state, self._until = "open", now + self._cooldown

    def _count(self, second: int, failures: int) -> None:
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
            while self._seconds[0][0] < second - self._window:
                _, calls, failed = self._seconds.popleft()
                self._calls, self._failures = self._calls - calls, self._failures - failed
        newest = self._seconds[-1]
        newest[1], newest[2] = newest[1] + 1, newest[2] + failures
        self._calls, self._failures = self._calls + 1, self._failures + failures

    def release(self) -> None:
        """A call that was allowed ended without an outcome (it was cancelled): the next one may probe."""
        if self.state == "half_open":
            self.state = "open"

    def _settle_probe(self, ok: bool, now: float) -> None:
        if ok:
            self.state, self._cooldown = "closed", self._base
            self._seconds.clear()
            self._calls = self._failures = 0
        else:
            self._cooldown = min(self._cooldown * 2, self._most)
            self.state, self._until = "open", now + self._cooldown
