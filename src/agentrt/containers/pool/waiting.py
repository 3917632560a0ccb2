"""Those who wait for a container, first come, first served, each with a deadline."""

import asyncio
from collections import deque
from collections.abc import Callable

from agentrt.kernel import AgentrtError, Exhausted

from .box import Box


class WaitingLine:
    """`longest` callers may stand in it, for `wait_s` seconds each. `unclaimed` gets a box whose taker has just left."""

    def __init__(self, longest: int, wait_s: float, unclaimed: Callable[[Box], None]) -> None:
        self._longest, self._wait_s, self._unclaimed = longest, wait_s, unclaimed
        self._line: deque[asyncio.Future[Box]] = deque()

    def __len__(self) -> int:
        return len(self._line)

    async def wait(self, full: Callable[[str], Exhausted]) -> Box:
        """The box that one is served with, in turn. Exhausted, in the words of `full`, where the line or the wait is too
        long; what `refuse` said."""
        if len(self._line) >= self._longest:
            raise full(f"{len(self._line)} callers already wait")
        place: asyncio.Future[Box] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.shield(place)
        except TimeoutError:
            self._leave(place)
            raise full(f"none became free in {self._wait_s:g} s") from None
        except asyncio.CancelledError:
            self._leave(place)
            raise

    def _leave(self, place: asyncio.Future[Box]) -> None:
        if place in self._line:
            self._line.remove(place)
            place.cancel()
        elif not place.cancelled() and place.exception() is None:  # it was served in the very moment that it left
            self._unclaimed(place.result())

    def serve(self, box: Box) -> bool:
        """Hand `box` to the first who still waits; whether there was anybody."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(box)
                return True
        return False

    def refuse(self, error: AgentrtError) -> None:
        """Everybody who waits is told this instead."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_exception(type(error)(error.message, code=error.code, retry_after_s=error.retry_after_s))
