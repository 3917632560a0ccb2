"""How many containers of a pool one user may hold at once, so that one cannot have them all."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from agentrt.kernel import Exhausted

from ..workspaces import Holder
from .stock import Stock

_AGAIN_S = 5.0


class Shares:
    """A user who has the most there may be gets another one in place of the idle one that was not used for longest. Callers
    that name no user are nobody in particular, and share the pool."""

    def __init__(self, most: int, stock: Stock) -> None:
        self._most, self._stock = most, stock
        self._coming: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def one_more(self, holder: Holder) -> Iterator[None]:
        """Around binding a box to `holder`. Exhausted where all that the user has are at work."""
        whose = (holder.tenant, holder.user)
        if holder.user:
            self._make_room(whose)
        self._coming[whose] += 1
        try:
            yield
        finally:
            self._coming[whose] -= 1
            if not self._coming[whose]:
                del self._coming[whose]

    def _make_room(self, whose: tuple[str, str]) -> None:
        own = [
            lease for lease in self._stock.leases.values() if lease.alive and (lease.holder.tenant, lease.holder.user) == whose
        ]
        if len(own) + self._coming[whose] < self._most:
            return
        now = time.monotonic()
        spare = min((lease for lease in own if lease.spare(now)), key=lambda lease: lease.used_at, default=None)
        if spare is None:
            raise Exhausted(
                f"this user has {self._most} containers at work already, which is as many as one may have; release one, or wait",
                code="too_many_sandboxes",
                retry_after_s=_AGAIN_S,
            )
        self._stock.end(spare.box, "evicted")
