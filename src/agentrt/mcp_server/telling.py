"""Output on its way to a caller who may be slower than what makes it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from agentrt.tools import Artifact, Output

MOST_PENDING = 262_144

Send = Callable[[Output], Awaitable[None]]


class Telling:
    """`emit` never waits; `run` sends what has come, until `end` and everything is sent. What the caller has not taken yet is
    joined, and what is more than `MOST_PENDING` characters is left out: the result has it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._pending: deque[Output] = deque()
        self._waiting = 0
        self._come = asyncio.Event()
        self._ended = False

    async def emit(self, piece: Output | Artifact) -> None:
        if isinstance(piece, Artifact) or self._waiting + len(piece.text) > MOST_PENDING:
            return
        last = self._pending[-1] if self._pending else None
        if last is not None and last.progress is piece.progress is None and last.stream == piece.stream:
            self._pending[-1] = replace(last, text=last.text + piece.text)
        else:
            self._pending.append(piece)
        self._waiting += len(piece.text)
        self._come.set()

    def end(self) -> None:
        self._ended = True
        self._come.set()

    async def run(self) -> None:
        while self._pending or not self._ended:
            if not self._pending:
                self._come.clear()
                await self._come.wait()
                continue
            piece = self._pending.popleft()
            self._waiting -= len(piece.text)
            await self._send(piece)
