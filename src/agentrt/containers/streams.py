"""Output of an execution as it comes, for one reader over HTTP."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import islice
from typing import Any, Self

import msgspec
import structlog

from agentrt.http import frame, one_line
from agentrt.kernel import AgentrtError
from agentrt.tools import Artifact, Output

from .calling import Called, executed
from .output import Emit
from .tool_results import artifact_view

log = structlog.get_logger()

MOST_WAITING = 1000

Start = Callable[[Emit], Coroutine[Any, Any, Called]]


class Streams:
    """Owns the executions that are streamed: an async context manager, opened once."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    async def frames(self, start: Start) -> AsyncIterator[bytes]:
        """Events `stdout`, `stderr`, `artifact`, and at last `result` or `error`. A reader who leaves ends the execution."""
        async for type_, body in self._pieces(start):
            yield frame(type_, msgspec.json.encode({"type": type_, **body}))

    async def done_frames(self, start: Start) -> AsyncIterator[bytes]:
        """The same without names, ended by `data: [DONE]`."""
        async for type_, body in self._pieces(start):
            yield b"data: " + one_line(msgspec.json.encode({"type": type_, **body})) + b"\n\n"
        yield b"data: [DONE]\n\n"

    async def _pieces(self, start: Start) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        backlog = _Backlog()
        task = self._group.create_task(_carried_out(start(backlog.emit), backlog), name="stream an execution")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (piece := await backlog.next()) is not None:
                yield piece
        finally:
            task.cancel()


class _Backlog:
    """What a reader has still to get. It may be slow, or stand still: what waits for it grows with the output, which has a
    limit, and not with the number of pieces that it came in."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, dict[str, Any] | list[str]]] = deque()
        self._come = asyncio.Event()
        self._ended = False

    async def emit(self, piece: Output | Artifact) -> None:
        if isinstance(piece, Artifact):
            self.put("artifact", artifact_view(piece))
            return
        # by turns to both streams as fast as it can: their order is kept for a reader who keeps up
        for type_, texts in islice(reversed(self._waiting), 1 if len(self._waiting) < MOST_WAITING else 2):
            if type_ == piece.stream and isinstance(texts, list):
                texts.append(piece.text)
                return
        self._waiting.append((piece.stream, [piece.text]))
        self._come.set()

    def put(self, type_: str, body: dict[str, Any]) -> None:
        self._waiting.append((type_, body))
        self._come.set()

    def end(self) -> None:
        self._ended = True
        self._come.set()

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        """None at the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._come.clear()
            await self._come.wait()
        type_, body = self._waiting.popleft()
        return type_, {"text": "".join(body)} if isinstance(body, list) else body


async def _carried_out(work: Coroutine[Any, Any, Called], backlog: _Backlog) -> None:
    try:
        backlog.put("result", msgspec.to_builtins(executed(await work)))
    except AgentrtError as exc:
        backlog.put("error", {"code": exc.code, "message": exc.message, "param": exc.param})
    except Exception:  # one reader's mishap must not take the others' streams down
        log.exception("stream.crashed")
        backlog.put("error", {"code": "internal_error", "message": "the server made a mistake", "param": None})
    finally:
        backlog.end()
