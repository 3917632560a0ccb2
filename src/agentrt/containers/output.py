"""What code prints, on its way out: shown as it comes, and kept in part for the result."""

import asyncio
import codecs
from collections.abc import Awaitable, Callable
from typing import Literal

from agentrt.tools import Artifact, Output

Emit = Callable[[Output | Artifact], Awaitable[None]]
Stream = Literal["stdout", "stderr"]

SHOWN = 65_536
"""Characters of a stream that a result holds: its beginning and its end."""
_HALF = SHOWN // 2


class Kept:
    """Beginning and end of a text that may be long."""

    def __init__(self) -> None:
        self._head, self._tail, self._size = "", "", 0

    def add(self, text: str) -> None:
        self._size += len(text)
        room = _HALF - len(self._head)
        if room > 0:
            self._head, text = self._head + text[:room], text[room:]
        if text:
            self._tail = (self._tail + text)[-_HALF:]

    @property
    def left_out(self) -> int:
        return self._size - len(self._head) - len(self._tail)

    @property
    def text(self) -> str:
        note = f"\n[... {self.left_out} characters left out ...]\n" if self.left_out else ""
        return self._head + note + self._tail


class Collector:
    """Takes bytes of both streams, which may be cut anywhere and hold anything, and makes text of them."""

    def __init__(self) -> None:
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": make("replace"), "stderr": make("replace")}
        self.kept = {"stdout": Kept(), "stderr": Kept()}
        self._waiting: list[Output] = []
        self._come = asyncio.Event()

    def take(self, stream: Stream, data: bytes) -> None:
        self._say(stream, self._decoders[stream].decode(data))

    def end(self) -> None:
        """Nothing more comes: half a character at the end is shown as what it is not."""
        for stream in ("stdout", "stderr"):
            self._say(stream, self._decoders[stream].decode(b"", final=True))

    def _say(self, stream: Stream, text: str) -> None:
        if not text:
            return
        text = text.replace("\x00", "\ufffd")  # not every database and reader takes a NUL
        self.kept[stream].add(text)
        self._waiting.append(Output(stream, text))
        self._come.set()

    async def show(self, emit: Emit) -> None:
        """Hand on what comes, until cancelled."""
        while True:
            await self._come.wait()
            await self.flush(emit)

    async def flush(self, emit: Emit) -> None:
        self._come.clear()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            for piece in waiting:
                await emit(piece)

    @property
    def left_out(self) -> int:
        return sum(kept.left_out for kept in self.kept.values())
