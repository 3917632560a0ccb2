"""An MCP server with three small tools: a working example, and what agentrt is wired to out of the box.

    python server.py                 speak MCP over standard input and output
    python server.py --http 9000     serve it at http://127.0.0.1:9000/mcp

It needs the package `mcp` and nothing else.
"""

import argparse

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations

READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

server = MCPServer("echo", version="1.0", instructions="Three small tools to try things out with.", log_level="WARNING")


@server.tool(annotations=READ_ONLY)
async def echo(message: str) -> str:
    """Say back what was said."""
    return message


@server.tool(annotations=READ_ONLY)
async def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@server.tool(annotations=READ_ONLY)
async def slow(context: Context, seconds: float = 3.0, steps: int = 3) -> str:
    """Take `seconds`, in `steps` steps, and report progress after each. Stops at once when it is cancelled."""
    steps = max(1, min(steps, 1000))
    for step in range(1, steps + 1):
        await anyio.sleep(max(0.0, seconds) / steps)
        await context.report_progress(step, steps, f"step {step} of {steps}")
    return f"done after {seconds:g} seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description="An MCP server with three small tools.")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve streamable HTTP on this port instead of stdio")
    port = parser.parse_args().http
    if port is None:
        server.run("stdio")
    else:
        server.run("streamable-http", port=port)


if __name__ == "__main__":
    main()
