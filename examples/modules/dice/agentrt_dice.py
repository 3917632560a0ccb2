"""A module for agentrt: the tool `throw_dice` for agents, and `GET /dice`, which says what was thrown last."""

import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import get

from agentrt.agents import AgentSpec
from agentrt.app import Services
from agentrt.kernel import Module, ModuleHealth, Principal
from agentrt.messages import Text, ToolCall, ToolResult
from agentrt.tools import CallContext, ToolDef, parse_arguments

THROW = ToolDef(
    id="throw_dice",
    description="Throws dice and tells what they show.",
    schema={
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How many; one if left out."}},
        "additionalProperties": False,
    },
    # not `unsafe`: should the server die in mid-call, it may be thrown again
    effect="idempotent",
)


class Dice(Module):
    """Both a module and a source of tools. Entered when the server starts, left when it stops."""

    name = "dice"

    def __init__(self, services: Services) -> None:
        """`services` are the server's parts: settings, bus, configs, journal, blobs, providers, tools, runs, sessions."""
        self._thrown: deque[list[int]] = deque(maxlen=10)

    @property
    def routes(self) -> Sequence[Any]:
        @get("/dice", sync_to_thread=False, operation_id="listThrows", summary="What was thrown last", tags=["dice"])
        def list_throws() -> list[list[int]]:
            return list(self._thrown)

        return [list_throws]

    @property
    def tools(self) -> Sequence[Any]:
        return [self]

    def health(self) -> ModuleHealth:
        return ModuleHealth("ok", {"thrown": len(self._thrown)})

    async def list(self, agent: AgentSpec, who: Principal) -> Sequence[ToolDef]:
        """What this source offers; the agent's own `tools:` says which of it the agent gets."""
        return [THROW]

    def missing(self, agent: AgentSpec, who: Principal) -> Mapping[str, str]:
        """Nothing here depends on something that may be down."""
        return {}

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        count = parse_arguments(call).get("count", 1)
        if not isinstance(count, int) or not 1 <= count <= 100:
            return ToolResult(call.id, (Text("count must be a whole number from 1 to 100"),), is_error=True)
        thrown = [secrets.randbelow(6) + 1 for _ in range(count)]
        self._thrown.append(thrown)
        return ToolResult(call.id, (Text(", ".join(map(str, thrown))),), structured={"thrown": thrown})
