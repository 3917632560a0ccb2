"""Who wants to know what ends."""

import asyncio
from collections.abc import AsyncIterator

from .engine import BoxEnded

_BEHIND = 1000


class Watchers:
    """Hands what is told to everybody who watches; who falls far behind misses the oldest, and lists now and then anyway."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[BoxEnded | None]] = set()

    def tell(self, event: BoxEnded) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def close(self) -> None:
        """End everybody's watching."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def watch(self) -> AsyncIterator[BoxEnded]:
        queue: asyncio.Queue[BoxEnded | None] = asyncio.Queue(_BEHIND)
        self._queues.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._queues.discard(queue)
