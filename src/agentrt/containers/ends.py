"""Runs that named no session have a sandbox of their own: it ends with them."""

import asyncio
from typing import Self

import structlog

from agentrt.bus import Bus, RunMoved
from agentrt.kernel import AgentrtError

from .sandboxes import Sandboxes

log = structlog.get_logger()


class Ends:
    """Follows the bus: an async context manager, opened once."""

    def __init__(self, bus: Bus, sandboxes: Sandboxes) -> None:
        self._bus, self._sandboxes = bus, sandboxes
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._task = self._group.create_task(self._follow(), name="sandboxes of ended runs")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()
        await self._group.__aexit__(None, None, None)

    async def _follow(self) -> None:
        with self._bus.subscribe(RunMoved, capacity=4096) as moves:
            async for move in moves:
                if move.ended and self._sandboxes.has_own(move.run_id):
                    try:
                        await self._sandboxes.end_of_run(move.run_id)
                    except (AgentrtError, OSError) as exc:  # the pool tries again by itself
                        log.warning("sandbox.not_ended", run_id=move.run_id, reason=str(exc))
