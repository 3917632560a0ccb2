"""What crashes leave behind, and what has had its time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agentrt.kernel import Clock

from .shelf import Shelf
from .store import UPLOADED, FileTable

_PAGE = 500
Begun = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Which of some runs have ever begun."""


class Sweep:
    """`moving` is held while rows and bytes change together."""

    def __init__(self, shelf: Shelf, table: FileTable, moving: asyncio.Lock, clock: Clock) -> None:
        self._shelf, self._table, self._moving, self._clock = shelf, table, moving, clock
        self._born = clock.now_us()
        self._started = False

    async def all(self, begun: Begun) -> None:
        """What earlier processes left is looked for once, what has expired every time. OSError, Unavailable."""
        await self.remove(lambda: self._table.expire(self._clock.now_us()))
        if self._started:
            return
        await self._of_runs_that_never_began(begun)
        await self._referred_to_by_nobody()
        self._started = True

    async def _of_runs_that_never_began(self, begun: Begun) -> None:
        """Files are kept before the first event of their run is written: a crash between the two leaves them."""
        since = await asyncio.to_thread(self._shelf.swept_until)
        after = UPLOADED
        while page := await self._table.runs_since(since, self._born, after, _PAGE):
            after = page[-1]
            never = sorted(set(page) - await begun(page))
            if never:
                await self.remove(lambda never=never: self._table.forget(never))
        await asyncio.to_thread(self._shelf.sweep_until, self._born)

    async def _referred_to_by_nobody(self) -> None:
        """Rows go first and bytes after them, and come the other way round: a crash between the two leaves bytes."""
        for first in (f"{n:02x}" for n in range(256)):
            stored = await asyncio.to_thread(self._shelf.hashes, first)
            if not stored:
                continue
            async with self._moving:  # what came meanwhile is not among `stored`, or has its row by now
                known = await self._table.referred_to(first + "0" * 62, first + "f" * 62)
                for sha256 in stored - known:
                    await asyncio.to_thread(self._shelf.remove, sha256)

    async def remove(self, drop: Callable[[], Awaitable[list[str]]]) -> None:
        """Let `drop` take rows away, then remove the bytes of the hashes that it gives. OSError."""
        async with self._moving:
            for sha256 in await drop():
                await asyncio.to_thread(self._shelf.remove, sha256)
