"""Agents as tools: a message in, a run, its final text out."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from agentrt import events as e
from agentrt.agents import AgentSpec
from agentrt.configs import ConfigStore
from agentrt.kernel import NotFound, Principal
from agentrt.messages import Text, says
from agentrt.runs import LiveRun, RunService, StartRun
from agentrt.tools import Output, ToolDef

from .answer import Answer, Emit, said

PREFIX = "agent__"
_MOST_NAME = 64
_SCHEMA = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "minLength": 1, "description": "What the agent shall do, or answer."},
        "session": {
            "type": "string",
            "description": "The conversation to go on with, as an earlier result named it, or a name of your choice. "
            "Without it a new conversation begins.",
        },
    },
    "required": ["message"],
    "additionalProperties": False,
}
_OUTPUT = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "description": "The answer."},
        "status": {"type": "string", "enum": ["completed", "failed", "cancelled"]},
        "run_id": {"type": "string"},
        "session_id": {"type": "string", "description": "For `session`, to go on with this conversation."},
    },
    "required": ["text", "status", "run_id", "session_id"],
}


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    message: str
    session: str | None = None


class AgentTools:
    """The loaded agents whose names fit one of `globs`."""

    def __init__(self, runs: RunService, configs: ConfigStore, globs: Sequence[str]) -> None:
        self._runs, self._configs, self._globs = runs, configs, globs

    def list(self) -> Sequence[ToolDef]:
        return [_tool(name, spec) for name, spec in self._offered().items()]

    def names(self) -> Sequence[str]:
        """Of the agents, in order."""
        return sorted(name for name in self._configs.current("agents") if any(fnmatchcase(name, glob) for glob in self._globs))

    def _offered(self) -> dict[str, AgentSpec]:
        """By the names of the tools. Of two names that look alike to a client, the first is offered."""
        found: dict[str, AgentSpec] = {}
        for name in self.names():
            if entry := self._configs.find("agents", name):
                found.setdefault(_tool_name(name), entry.spec)
        return found

    async def call(self, who: Principal, name: str, arguments: Mapping[str, Any], emit: Emit) -> Answer:
        """Start a run and follow it to its end. NotFound (`tool_not_found`); what `RunService.start` raises. Cancelling this
        cancels the run."""
        offered = self._offered()
        spec = offered.get(name)
        if spec is None:
            known = ", ".join(offered) or "none"
            raise NotFound(f"there is no tool {name[:64]!r} (agents: {known})", code="tool_not_found", param="name")
        try:
            asked = msgspec.convert(dict(arguments), Asked)
        except msgspec.ValidationError as exc:
            return said(f"{name}: {str(exc)[:1].lower()}{str(exc)[1:]}")
        if not asked.message.strip():
            return said("message: there is nothing to do in it")
        command = StartRun(
            messages=(says("user", asked.message),), agent=spec.name, session_id=asked.session, metadata={"via": "mcp"}
        )
        live = await self._runs.start(who, command)
        try:
            return await _followed(live, emit)
        except asyncio.CancelledError:
            self._runs.leave(live.id, "disconnect")
            raise


async def _followed(live: LiveRun, emit: Emit) -> Answer:
    text, status, why = "", "", ""
    async for batch in live:
        for item in batch:
            match item.event:
                case e.TextDelta(text=piece):
                    await emit(Output("stdout", piece))
                case e.ToolStarted(call=call):
                    await emit(Output("stderr", f"[{call.name}]\n"))
                case e.FinalText(text=final):
                    text = final
                case e.RunCompleted():
                    status = "completed"
                case e.RunFailed(message=message):
                    status, why = "failed", message
                case e.RunCancelled():
                    status, why = "cancelled", "the run was cancelled"
                case _:
                    pass
    meta = {"agentrt/run-id": live.id, "agentrt/session": live.session_id}
    if not status:
        return said(f"the server is shutting down; the run {live.id} goes on when it is back", meta=meta)
    shown = "\n\n".join(filter(None, (text, f"[{why}]" if why else "")))
    structured = {"text": text, "status": status, "run_id": live.id, "session_id": live.session_id}
    return Answer(parts=(Text(shown),), structured=structured, is_error=status != "completed", meta=meta)


def _tool(name: str, spec: AgentSpec) -> ToolDef:
    described = spec.description or f"The agent {spec.name}."
    return ToolDef(
        id=name,
        title=spec.name,
        description=f"Asks the agent {spec.name}: {described}" if spec.description else described,
        schema=_SCHEMA,
        output_schema=_OUTPUT,
    )


def _tool_name(agent: str) -> str:
    return (PREFIX + re.sub(r"[^a-zA-Z0-9_-]", "_", agent))[:_MOST_NAME]
