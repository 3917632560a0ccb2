"""What servers say while they work: standard error of a process, and the voice of one call."""

import asyncio
import codecs
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import structlog

from agentrt.tools import Output

log = structlog.get_logger()

_LINES = 200
_LONGEST_LINE = 2000
_CHUNK = 65_536
_WAITING = 64


class Voice:
    """Hands on what one call says, in order, and nothing once the call is over."""

    def __init__(self, emit: Callable[[Output], Awaitable[None]]) -> None:
        self._emit = emit
        self._turn = asyncio.Lock()
        self._open = True

    async def say(self, output: Output) -> None:
        """Emit `output` after all that was said before. A sink that fails is not asked again."""
        async with self._turn:
            if not self._open:
                return
            try:
                await self._emit(output)
            except Exception:
                # One run's sink must not take the server's other runs down with it.
                self._open = False
                log.exception("mcp.output_lost")

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """A progress notification, as the SDK hands it over."""
        await self.say(Output("stdout", message or "", progress=done, total=total))

    async def end(self) -> None:
        """Let what is under way be said, then fall silent."""
        async with self._turn:
            self._open = False


class Stderr:
    """The last lines of a process's standard error, kept for people, and handed to the calls that run meanwhile."""

    def __init__(self) -> None:
        self.redact: Callable[[str], str] = str
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._listeners: set[Voice] = set()
        self._waiting: asyncio.Queue[str] = asyncio.Queue(_WAITING)

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines, secrets blotted out."""
        return (*self._lines, self.redact(self._partial)) if self._partial else tuple(self._lines)

    @contextmanager
    def pipe(self) -> Iterator[TextIO]:
        """The end to write to; what is written there is read here for the time of the block."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(read, self._read, read)
        with open(write, "w") as end:
            try:
                yield end
            finally:
                self._read(read)
                loop.remove_reader(read)
                os.close(read)

    @contextmanager
    def heard_by(self, voice: Voice) -> Iterator[None]:
        """Whole lines go to `voice` for the time of the block."""
        self._listeners.add(voice)
        try:
            yield
        finally:
            self._listeners.discard(voice)

    async def hand_on(self) -> None:
        """Carry lines to the listeners, for ever. What an earlier process wrote is nothing to the calls of this one."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._waiting.task_done()
        while True:
            text = await self._waiting.get()
            for voice in tuple(self._listeners):
                await voice.say(Output("stderr", text))
            self._waiting.task_done()

    async def settle(self) -> None:
        """Until all that was read has been handed on; at most a second."""
        if self._partial and self._listeners:
            self.note("")
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._waiting.join()

    def note(self, text: str) -> None:
        """Add `text` and end the line."""
        self._take(text + "\n")

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
        self._take(self._decoder.decode(data))

    def _take(self, text: str) -> None:
        *whole, self._partial = (self._partial + text).split("\n")
        if len(self._partial) > _LONGEST_LINE:
            whole.append(self._partial)
            self._partial = ""
        if not whole:
            return
        lines = [self.redact(line[:_LONGEST_LINE]) for line in whole]
        self._lines.extend(lines)
        if self._listeners:
            with suppress(asyncio.QueueFull):  # the ring still has it; a flood is not worth stalling the server
                self._waiting.put_nowait("\n".join(lines) + "\n")
