"""Output of an execution as it comes, for one reader over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
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
        come: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()

        async def emit(piece: Output | Artifact) -> None:
            come.put_nowait(_shown(piece))

        task = self._group.create_task(_carried_out(start(emit), come), name="stream an execution")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (piece := await come.get()) is not None:
                yield piece
        finally:
            task.cancel()


async def _carried_out(work: Coroutine[Any, Any, Called], come: asyncio.Queue[tuple[str, dict[str, Any]] | None]) -> None:
    try:
        come.put_nowait(("result", msgspec.to_builtins(executed(await work))))
    except AgentrtError as exc:
        come.put_nowait(("error", {"code": exc.code, "message": exc.message, "param": exc.param}))
    except Exception:  # one reader's mishap must not take the others' streams down
        log.exception("stream.crashed")
        come.put_nowait(("error", {"code": "internal_error", "message": "the server made a mistake", "param": None}))
    finally:
        come.put_nowait(None)


def _shown(piece: Output | Artifact) -> tuple[str, dict[str, Any]]:
    if isinstance(piece, Artifact):
        return "artifact", artifact_view(piece)
    return piece.stream, {"text": piece.text}
