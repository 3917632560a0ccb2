"""What becomes of boxes that nobody uses: paused, then removed; replaced at once when their image is an old one."""

import asyncio
import time
from contextlib import suppress

import structlog

from agentrt.kernel import AgentrtError

from ..spec import PoolSpec
from .lease import Lease
from .refill import Refill
from .stock import Stock

log = structlog.get_logger()

_SHORTEST_S, _FAILED_S = 0.02, 1.0


class Idle:
    """`run` is its life. Workspaces stay, whatever it does."""

    def __init__(self, spec: PoolSpec, stock: Stock, refill: Refill) -> None:
        self._spec, self._stock, self._refill = spec, stock, refill
        self._sooner = asyncio.Event()

    async def run(self) -> None:
        while True:
            self._sooner.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._next_look(time.monotonic())):
                    await self._sooner.wait()
            for lease in list(self._stock.leases.values()):
                await self._look(lease)
            self._shrink(time.monotonic())

    def roll(self) -> None:
        """End what nobody uses and is not of the image that boxes are made from now."""
        now = time.monotonic()
        for lease in list(self._stock.leases.values()):
            if lease.box.image != self._refill.image and lease.spare(now):
                self._stock.end(lease.box, "rolled")

    def leased(self, lease: Lease) -> None:
        """A box was bound; where it may stay for a short time only, one must look sooner."""
        if lease.expires_s < self._spec.pause_after_s:
            self._sooner.set()

    def rested(self, lease: Lease) -> None:
        """The last job in it has ended."""
        if lease.box.image != self._refill.image and lease.spare(time.monotonic()):
            self._stock.end(lease.box, "rolled")
        elif self._refill.line:
            self._stock.changed.set()

    def _next_look(self, now: float) -> float:
        """Leases only move their ends later, and a new one has none before a whole wait from now."""
        first = min(self._spec.pause_after_s, self._spec.remove_after_s)
        due = [
            max(since, lease.used_at + (lease.expires_s if lease.state == "paused" else min(first, lease.expires_s)))
            for lease in self._stock.leases.values()
            if (since := lease.spare_from()) is not None
        ]
        return max(_SHORTEST_S, min([first, *(at - now for at in due)]))

    async def _look(self, lease: Lease) -> None:
        now = time.monotonic()
        idle = now - lease.used_at
        if not lease.spare(now):
            return
        if idle >= lease.expires_s:
            self._stock.end(lease.box, "expired")
        elif lease.box.image != self._refill.image:
            self._stock.end(lease.box, "rolled")
        elif idle >= self._spec.pause_after_s and lease.state != "paused":
            try:
                await lease.pause()
            except (AgentrtError, OSError) as exc:
                log.warning("sandbox.not_paused", sandbox=lease.id, reason=str(exc))
                await asyncio.sleep(_FAILED_S)

    def _shrink(self, now: float) -> None:
        """A rush leaves more warm boxes behind than are kept."""
        for box in list(self._stock.warm)[: max(0, len(self._stock.warm) - self._spec.min)]:
            if not self._refill.line and now - box.born > self._spec.pause_after_s:
                self._stock.end(box, "expired")
