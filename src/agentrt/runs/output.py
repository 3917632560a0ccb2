"""Tool output on its way into the log: pieces are coalesced, so that a chatty tool does not become a row a line."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeGuard

from msgspec.structs import replace

from agentrt.events import ArtifactCreated, StoredEvent, ToolStderr, ToolStdout
from agentrt.tools import Artifact, Output

FLUSH_BYTES, FLUSH_S = 65_536, 0.1
MOST_PIECES = 32


class OutputSink:
    """Takes the output of one tool call, and appends it after 100 ms or 64 KiB, whichever comes first.

    `group` owns the task that flushes; `close` writes the rest and ends it.
    """

    def __init__(
        self, call_id: str, append: Callable[[Sequence[StoredEvent]], Awaitable[object]], group: asyncio.TaskGroup
    ) -> None:
        self._call_id, self._append, self._group = call_id, append, group
        self._pending: list[ToolStdout | ToolStderr | ArtifactCreated] = []
        self._size = 0
        self._lock = asyncio.Lock()
        self._closing = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    async def emit(self, output: Output | Artifact) -> None:
        """Take a piece. Waits only while a full buffer is being written. Pieces after the end of the call are dropped."""
        if self._closing.is_set():
            return
        self._take(output)
        if self._size >= FLUSH_BYTES:
            await self._flush()
        elif self._flusher is None or self._flusher.done():
            self._flusher = self._group.create_task(self._flush_later(), name=f"output {self._call_id}")

    async def close(self) -> None:
        self._closing.set()
        await self._flush()

    async def _flush_later(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._closing.wait()
        await self._flush()

    async def _flush(self) -> None:
        """Append what is pending, in order."""
        async with self._lock:
            pending, self._pending, self._size = self._pending, [], 0
            if pending:
                await self._append(pending)

    def _take(self, output: Output | Artifact) -> None:
        if isinstance(output, Artifact):
            self._pending.append(
                ArtifactCreated(
                    file=output.file,
                    name=output.name,
                    media_type=output.media_type,
                    size=output.size,
                    call_id=self._call_id,
                )
            )
            return
        self._size += len(output.text)
        if output.stream == "stderr":
            piece: ToolStdout | ToolStderr = ToolStderr(call_id=self._call_id, text=output.text)
        else:
            piece = ToolStdout(call_id=self._call_id, text=output.text, progress=output.progress, total=output.total)
        at = self._before(piece)
        last = self._pending[at] if self._pending else None
        if _joins(last, piece):
            self._pending[at] = replace(last, text=last.text + piece.text)
        else:
            self._pending.append(piece)

    def _before(self, piece: ToolStdout | ToolStderr) -> int:
        """Where in what is pending `piece` may go on: at its end; where somebody writes to both streams by turns, as fast as it
        can, behind the newest piece of its own, or the log would have a row for each byte."""
        if len(self._pending) > MOST_PIECES:
            return next((at for at in range(-1, -MOST_PIECES, -1) if _joins(self._pending[at], piece)), -1)
        return -1


def _joins(last: StoredEvent | None, piece: ToolStdout | ToolStderr) -> TypeGuard[ToolStdout | ToolStderr]:
    """Whether `piece` goes on where `last` ended; what bears progress stands alone."""
    if isinstance(last, ToolStdout) and isinstance(piece, ToolStdout):
        return last.progress is None and piece.progress is None
    return isinstance(last, ToolStderr) and isinstance(piece, ToolStderr)
