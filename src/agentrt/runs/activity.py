"""Runs as they move: what a list on a screen needs to stay true without asking again and again."""

import asyncio
from collections.abc import AsyncIterator

from agentrt.bus import Bus, RunMoved
from agentrt.kernel import NotFound, Principal

from .service import RunService
from .views import RunView

SETTLE_S = 0.2


class Activity:
    """Tells readers which runs moved. The bus only says that they did: each run is read again, once per 200 ms at most."""

    def __init__(self, runs: RunService, bus: Bus) -> None:
        self._runs, self._bus = runs, bus

    async def watch(self, who: Principal) -> AsyncIterator[RunView]:
        """Every run of the tenant as it is after it moved, until the server goes down. Moves in quick succession are one."""
        with self._bus.subscribe(RunMoved) as moves:
            while moved := await moves.take():
                await asyncio.sleep(SETTLE_S)
                ids = dict.fromkeys(signal.run_id for signal in (*moved, *moves.pending()))
                for run_id in ids:
                    try:
                        yield await self._runs.get(who, run_id)
                    except NotFound:  # another tenant's, or purged meanwhile
                        continue
