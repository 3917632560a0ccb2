"""Notices callers that went away, and keeps the lines of the others warm."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import structlog
from litestar.types import Receive

from agentrt.kernel import AgentrtError, Conflict

log = structlog.get_logger()

Gone = Callable[[], Awaitable[object]]
Beat = Callable[[], Awaitable[float]]

PATIENCE_S = 0.1  # most answers are there before anybody needs to look whether the caller still is


class HangUps:
    """Owns the tasks that watch callers: an async context manager, opened once."""

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

    def watch(self, receive: Receive, gone: Gone | None, beat: Beat | None = None) -> "Watch":
        """Within the block: `gone` once the caller hangs up (None: nobody minds), `beat` again and again; it answers in how
        many seconds it wants to be called next."""
        return Watch(self, receive, gone, beat)

    def start(self, watch: "Watch") -> asyncio.Task[None]:
        return self._own(watch.run(), "watch a caller")

    def leave(self, gone: Gone) -> None:
        """Tell the run that its caller is not answered any further, without waiting for what comes of it."""
        self._own(_told(gone), "leave a run")

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class Watch:
    """One caller, watched while its answer is on the way. Begins after `PATIENCE_S`: a hang-up is noticed a little later."""

    def __init__(self, owner: HangUps, receive: Receive, gone: Gone | None, beat: Beat | None) -> None:
        self._owner, self._receive, self._gone, self._beat = owner, receive, gone, beat
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = self._owner.start(self)

    async def run(self) -> None:
        await _told(self._left)

    async def _left(self) -> None:
        await self._wait_for_hang_up()
        if self._gone is not None:
            await self._gone()

    async def _wait_for_hang_up(self) -> None:
        while True:
            wait = None if self._beat is None else await self._beat()
            try:
                async with asyncio.timeout(wait):
                    message = await self._receive()
            except TimeoutError:
                continue
            if message["type"] == "http.disconnect":
                return


async def _told(gone: Gone) -> None:
    try:
        await gone()
    except Conflict as exc:
        log.debug("caller.not_followed", reason=exc.message)  # the run ended at the same moment
    except AgentrtError as exc:  # the database refuses: nobody waits for this
        log.warning("caller.not_followed", reason=exc.message)
    except Exception:  # one caller's watch must not take the others' down
        log.exception("caller.watch_failed")
