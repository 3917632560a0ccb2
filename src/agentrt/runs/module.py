import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from agentrt.bus import Bus, ConfigChanged, McpServerChanged, SandboxesChanged
from agentrt.kernel import Module, ModuleHealth
from agentrt.tools import ToolBox

from .routes import RunsController
from .scheduler import Scheduler
from .service import RunService


class Runs(Module):
    """Runs over HTTP, and the runs that go on in this process."""

    name = "runs"

    def __init__(self, service: RunService, scheduler: Scheduler, box: ToolBox, bus: Bus) -> None:
        self._service, self._scheduler, self._box, self._bus = service, scheduler, box, bus
        self._stack = AsyncExitStack()

    @property
    def routes(self) -> Sequence[Any]:
        return (RunsController,)

    def health(self) -> ModuleHealth:
        return ModuleHealth("ok", {"active": self._scheduler.active, "queued": self._scheduler.queued})

    async def __aenter__(self) -> Self:
        await self._service.sweep()
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        for topic in (ConfigChanged, McpServerChanged, SandboxesChanged):
            self._stack.callback(group.create_task(self._follow(topic), name=f"follow {topic.__name__}").cancel)
        await self._stack.enter_async_context(self._scheduler)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _follow(self, topic: type[ConfigChanged | McpServerChanged | SandboxesChanged]) -> None:
        """What is offered to models follows the agents' files, the servers' tool lists, and whether code can run."""
        with self._bus.subscribe(topic) as changes:
            async for _ in changes:
                self._box.forget_offers()
