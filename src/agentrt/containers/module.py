"""What plugs containers into the server."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from agentrt.bus import Bus
from agentrt.files import Blobs
from agentrt.kernel import Clock, Module, ModuleHealth

from .calling import Caller
from .egress import Egress, Ports
from .ends import Ends
from .packages import Packages
from .pool_routes import pool_routes
from .requests import Front
from .routes import file_routes, sandbox_routes
from .sandboxes import Sandboxes, Sight
from .spec import ContainerOptions
from .station import Station
from .streams import Streams
from .tool_source import CodeTools
from .vm_routes import vm_routes
from .vms import Vms


class Containers(Module):
    """Sandboxes: where they come from, the tools over them, and their routes."""

    name = "containers"

    def __init__(
        self,
        options: ContainerOptions,
        folder: Path,
        *,
        bus: Bus,
        blobs: Blobs,
        clock: Clock,
        caller: Caller,
        sight: Sight,
        egress: Egress | None,
    ) -> None:
        self._egress = egress
        self._station = Station(options, folder, clock, bus, egress)
        self.sandboxes = Sandboxes(self._station, blobs, clock, sight)
        self._packages = Packages(options.wheels_dir, options.upstreams, options.index_path)
        self._front = Front(self.sandboxes, caller)
        self._streams = Streams()
        self._ends = Ends(bus, self.sandboxes)
        self._ports = Ports()
        self._vms = Vms(self._station, self._ports)
        self._stack = AsyncExitStack()

    @property
    def routes(self) -> Sequence[Any]:
        return (
            *sandbox_routes(self._front, self._streams),
            *file_routes(self._front),
            *pool_routes(self._front, self._station, self._streams),
            *vm_routes(self._vms),
        )

    @property
    def tools(self) -> Sequence[Any]:
        return (CodeTools(self.sandboxes, self._station, self._packages),)

    @property
    def answers(self) -> bool:
        """Whether a container engine answers."""
        return self._station.answers

    def publishes(self, port: int) -> bool:
        """Whether pages of this port of the machine come from a box."""
        return self._ports.serves(port)

    def health(self) -> ModuleHealth:
        return ModuleHealth(self._station.health, self._station.detail())

    def listening(self) -> None:
        self._station.begin()

    async def __aenter__(self) -> Self:
        if self._egress is not None:
            await self._stack.enter_async_context(self._egress)
        for part in (self._ports, self._station, self._vms, self._streams, self._ends):
            await self._stack.enter_async_context(part)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()
