"""Tools as the engine sees them: what they are, who offers them, how one is called."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from agentrt.agents import AgentSpec, Effect
from agentrt.kernel import Principal
from agentrt.messages import ToolCall, ToolResult


class ToolDef(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that is offered to a model. `id` matches `[a-zA-Z0-9_-]{1,64}`; `schema` is a JSON Schema object, and so is
    `output_schema`, of the structured content of a result."""

    id: str
    description: str
    schema: dict[str, Any]
    effect: Effect = "unsafe"
    title: str = ""
    output_schema: dict[str, Any] | None = None


class Output(msgspec.Struct, frozen=True):
    """A piece of what a running tool says: output, diagnostics, or progress."""

    stream: Literal["stdout", "stderr"]
    text: str
    progress: float | None = None
    total: float | None = None


class Artifact(msgspec.Struct, frozen=True):
    """A file that a running tool made: its bytes are the stored file `file`. `size` is in bytes."""

    file: str
    name: str
    media_type: str
    size: int


class CallContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a source may know about the call it carries out: who asks, for which run of which agent as it was when the run
    began. `emit` takes output and artifacts as they come and never blocks for long."""

    who: Principal
    run_id: str
    session_id: str | None
    agent: AgentSpec
    timeout_s: float
    idempotency_key: str
    emit: Callable[[Output | Artifact], Awaitable[None]]


class ToolSource(Protocol):
    """Offers tools and carries them out: the built-in ones, the MCP registry, the container pool."""

    async def list(self, agent: AgentSpec, who: Principal) -> Sequence[ToolDef]:
        """The tools that exist now. Waits a bounded time for what is still starting; never raises for a missing server."""
        ...

    def missing(self, agent: AgentSpec, who: Principal) -> Mapping[str, str]:
        """What the agent may use but cannot now, by name, each with the reason in a sentence."""
        ...

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        """Carry out a call. ToolUnavailable, ToolTimedOut where no answer came; cancelling it reaches the tool."""
        ...
