"""A process with a registry is killed as by a power cut; what its servers started must not live on."""

import json
import subprocess
import sys
import time
from pathlib import Path

OLDER = Path(__file__).parent / "servers" / "older.py"
OWNER = """
import asyncio, os, sys
from agentrt.agents import AgentSpec
from agentrt.bus import Bus
from agentrt.kernel import Principal
from agentrt.mcp_registry import McpRegistry, McpServerSpec
from agentrt.messages import ToolCall
from agentrt.tools import CallContext

async def main():
    async def emit(output): ...
    spec = McpServerSpec(command=sys.executable, args=("-S", sys.argv[1]))
    async with McpRegistry(lambda: {"old": spec}, bus=Bus(), blobs=None, env=os.environ) as registry:
        await registry.list(AgentSpec(name="a", tools=("*",)), Principal())
        agent = AgentSpec(name="a")
        context = CallContext(
            who=Principal(), run_id="", session_id=None, agent=agent, timeout_s=9, idempotency_key="", emit=emit
        )
        print((await registry.call(ToolCall("c", "old__offspring"), context)).text, file=sys.stderr, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_no_server_and_no_grandchild_outlives_a_registry_that_is_killed(running) -> None:
    command = [sys.executable, "-c", OWNER, str(OLDER)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as owner:
        assert owner.stderr is not None
        pids = json.loads(owner.stderr.readline())
        assert all(running(pid) for pid in pids)
        owner.kill()
        end = time.monotonic() + 30
        while any(running(pid) for pid in pids):
            assert time.monotonic() < end
