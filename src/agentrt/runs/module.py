from collections.abc import Sequence
from typing import Any, Self

from agentrt.kernel import Module, ModuleHealth

from .routes import RunsController
from .scheduler import Scheduler
from .service import RunService


class Runs(Module):
    """Runs over HTTP, and the runs that go on in this process."""

    name = "runs"

    def __init__(self, service: RunService, scheduler: Scheduler) -> None:
        self._service, self._scheduler = service, scheduler

    @property
    def routes(self) -> Sequence[Any]:
        return (RunsController,)

    def health(self) -> ModuleHealth:
        return ModuleHealth("ok", {"active": self._scheduler.active, "queued": self._scheduler.queued})

    async def __aenter__(self) -> Self:
        await self._service.sweep()
        await self._scheduler.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._scheduler.__aexit__(*exc_info)
