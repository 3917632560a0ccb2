"""What the conformance suite starts as a client: the registry, as agents use it, calls the tools that a server offers.

The server's address is the last argument; which calls a scenario wants is in the environment, else each tool is called once.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, cast

from agentrt.agents import AgentSpec
from agentrt.bus import Bus
from agentrt.files import Blobs
from agentrt.kernel import SYSTEM
from agentrt.mcp_registry import McpRegistry, McpServerSpec
from agentrt.messages import ToolCall
from agentrt.tools import CallContext, ToolDef

AGENT = AgentSpec(name="all", tools=("*",))


async def main(url: str) -> None:
    servers = {"suite": McpServerSpec(url=url)}
    no_blobs = cast("Blobs", None)  # nothing but text is answered
    async with McpRegistry(lambda: servers, bus=Bus(), blobs=no_blobs, env={}, wait_s=50.0) as registry:
        tools = {tool.id: tool for tool in await registry.list(AGENT, SYSTEM)}
        wanted = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}").get("toolCalls")
        if wanted is None:
            calls = [(name, arguments(tool, tools)) for name, tool in tools.items()]
        else:
            calls = [(f"suite__{call['name']}", call["arguments"]) for call in wanted]
        for number, (name, given) in enumerate(calls):
            await registry.call(ToolCall(f"call_{number}", name, json.dumps(given)), context(f"key-{number}"))


def arguments(tool: ToolDef, tools: Mapping[str, ToolDef]) -> dict[str, Any]:
    """What it requires; the schema of another tool, as we got it, where it wants an object."""
    other = next((known.schema for known in tools.values() if known.id != tool.id), {})
    samples: dict[str, Any] = {"number": 2, "integer": 2, "object": other}
    told = tool.schema.get("properties", {})
    return {name: samples.get(told[name].get("type"), "x") for name in tool.schema.get("required", ())}


def context(key: str) -> CallContext:
    async def quiet(_output: object) -> None: ...

    return CallContext(who=SYSTEM, run_id="run_1", session_id=None, agent=AGENT, timeout_s=50.0, idempotency_key=key, emit=quiet)


asyncio.run(main(sys.argv[-1]))
