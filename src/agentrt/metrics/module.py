import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from agentrt.bus import Bus, ProviderTripped
from agentrt.kernel import Module

from .exposition import exposition
from .routes import metrics_route
from .tallies import MOST_LABELS, Tallies


class Metrics(Module):
    """`/metrics`. `gauges` gives what is true now, by name."""

    name = "metrics"

    def __init__(self, tallies: Tallies, bus: Bus, gauges: Callable[[], Mapping[str, float]]) -> None:
        self._tallies, self._bus, self._gauges = tallies, bus, gauges
        self._breakers: dict[tuple[str, str], str] = {}
        self._stack = AsyncExitStack()

    @property
    def routes(self) -> Sequence[Any]:
        return (metrics_route(self.read),)

    def read(self) -> bytes:
        """One scrape."""
        return exposition(self._tallies, self._gauges(), dict(self._breakers))

    async def __aenter__(self) -> Self:
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(group.create_task(self._follow_breakers(), name="count trips").cancel)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _follow_breakers(self) -> None:
        with self._bus.subscribe(ProviderTripped) as trips:
            async for trip in trips:
                if len(self._breakers) >= MOST_LABELS:  # those that are closed again say what silence says
                    self._breakers = {labels: state for labels, state in self._breakers.items() if state != "closed"}
                self._breakers[trip.provider, trip.model] = trip.state
                self._tallies.trips.add((trip.provider, trip.model, trip.state))
