import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import structlog

from agentrt.kernel import Module, Unavailable

from .blobs import Blobs
from .routes import FilesController
from .sweep import Begun

log = structlog.get_logger()

_EVERY_S, _AGAIN_S = 3600.0, 60.0


class Files(Module):
    """Stored files over HTTP; behind it what crashes left is removed, and what has expired."""

    name = "files"

    def __init__(self, blobs: Blobs, begun: Begun) -> None:
        self._blobs, self._begun = blobs, begun
        self._stack = AsyncExitStack()

    @property
    def routes(self) -> Sequence[Any]:
        return (FilesController,)

    async def __aenter__(self) -> Self:
        await self._blobs.clear()
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(group.create_task(self._sweep(), name="sweep files").cancel)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _sweep(self) -> None:
        while True:
            wait_s = _EVERY_S
            try:
                await self._blobs.sweep(self._begun)
            except (OSError, Unavailable) as exc:
                log.warning("files.not_swept", reason=exc.strerror if isinstance(exc, OSError) else exc.message)
                wait_s = _AGAIN_S
            await asyncio.sleep(wait_s)
