from collections.abc import Sequence
from typing import Any, Literal, Self

import msgspec

HealthStatus = Literal["ok", "starting", "degraded", "failed", "off"]


class ModuleHealth(msgspec.Struct, frozen=True):
    """How a module is. `detail` is one sentence, or a small mapping; it is public: no secret, no path."""

    status: HealthStatus
    detail: Any = ""


class Module:
    """What plugs in at the composition root: an async context manager that says what it contributes.

    `routes` are Litestar handlers and controllers, `tools` tool sources (`agentrt.tools.ToolSource`); both are read after the
    module was entered. The kernel knows neither type, hence `Any`.
    """

    name: str = ""

    @property
    def routes(self) -> Sequence[Any]:
        return ()

    @property
    def tools(self) -> Sequence[Any]:
        return ()

    def health(self) -> ModuleHealth:
        return ModuleHealth("ok")

    def listening(self) -> None:
        """The server answers requests now: what need not be there before may begin to come up."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...
