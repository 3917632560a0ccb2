"""The tools of one agent, for callers from outside: each call is a run of one step."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec.structs import replace

from agentrt.agents import AgentSpec, SandboxRule
from agentrt.configs import ConfigStore
from agentrt.containers import CODE_TOOLS
from agentrt.kernel import Principal, new_id
from agentrt.messages import ToolCall, ToolResult
from agentrt.runs import ToolRuns
from agentrt.sessions import is_session
from agentrt.tools import ToolDef

from .answer import Answer, Emit, said

SESSION = "mcp"
_ARGUMENT = {
    "type": "string",
    "description": "Which of your sandboxes to use: a name of your choice, or the session of a conversation. Each has its own "
    "files and variables; without it you always get the same one.",
}


class Tools:
    """What the agent `name` may call; the code tools where no such agent is loaded."""

    def __init__(self, runs: ToolRuns, configs: ConfigStore, name: str) -> None:
        self._runs, self._configs, self.name = runs, configs, name

    @property
    def agent(self) -> AgentSpec:
        found = self._configs.find("agents", self.name)
        return self._without_file if found is None else found.spec

    @cached_property
    def _without_file(self) -> AgentSpec:
        return AgentSpec(name="mcp", description="Code tools called over MCP.", tools=CODE_TOOLS, sandbox=SandboxRule())

    @property
    def called(self) -> AgentSpec | str:
        """Who calls, for `ToolRuns`: by name where a file holds it."""
        return self._without_file if self._configs.find("agents", self.name) is None else self.name

    async def list(self, who: Principal) -> Sequence[ToolDef]:
        """As agents see them, with one more argument: `session`."""
        offer = await self._runs.offer(who, self.called)
        return [_with_session(tool) for tool in offer.defs]

    async def call(self, who: Principal, name: str, arguments: Mapping[str, Any], emit: Emit) -> Answer:
        """NotFound (`tool_not_found`) for what is not offered; Unavailable, Exhausted. Whatever the tool does is the answer."""
        offer = await self._runs.offer(who, self.called)
        given, session = dict(arguments), SESSION
        if name in offer.tools and _takes_session(offer.tools[name][0]):
            session = given.pop("session", SESSION)
            if not isinstance(session, str) or not is_session(session):
                return said("session: a name of 1 to 128 letters, digits or . _ : @ | + = -")
        call = ToolCall(new_id("call"), name, msgspec.json.encode(given).decode())
        told = {"via": "mcp"}
        done = await self._runs.call(who, self.called, call, session_id=session, metadata=told, emit=emit)
        return _answer(done.result, {"agentrt/run-id": done.run_id, "agentrt/session": session})


def _takes_session(tool: ToolDef) -> bool:
    return "session" not in tool.schema.get("properties", {})


def _with_session(tool: ToolDef) -> ToolDef:
    if not _takes_session(tool):
        return tool
    properties = {**tool.schema.get("properties", {}), "session": _ARGUMENT}
    return replace(tool, schema={**tool.schema, "properties": properties})


def _answer(result: ToolResult, meta: dict[str, Any]) -> Answer:
    structured = result.structured
    if not isinstance(structured, dict) or "error" in structured:  # a refusal has not the shape of a result
        structured = None
    return Answer(parts=result.parts, structured=structured, is_error=result.is_error, meta=meta)
