"""An MCP client: runs code in a sandbox of its user's own, reads a file that it wrote, and asks an agent.

    python mcp_client.py [NAME]

AGENTRT_URL is the server (http://127.0.0.1:8080). NAME is the user: everybody has a sandbox of their own.
"""

import asyncio
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

URL = os.environ.get("AGENTRT_URL", "http://127.0.0.1:8080")
CODE = "for n in range(3):\n    print(n, flush=True)\nopen('squares.txt', 'w').write(str([n * n for n in range(5)]))"


async def show(progress: float, total: float | None, message: str | None) -> None:
    print(f"[progress] {(message or '').strip()}")


async def main(user: str) -> None:
    async with (
        httpx2.AsyncClient(headers={"x-user-id": user}, timeout=60) as http,
        Client(streamable_http_client(f"{URL}/mcp", http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        print("tools:", ", ".join(tools))
        if "execute_python" in tools:
            done = await client.call_tool("execute_python", {"code": CODE}, progress_callback=show)
            print("exit code:", done.structured_content["exit_code"])
            (file,) = (await client.read_resource("workspace:///squares.txt")).contents
            print("squares.txt:", getattr(file, "text", "no text"))
        answer = await client.call_tool("agent__default", {"message": "Use the echo tool to say: Hello"})
        print("agent:", answer.structured_content["text"])


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ada"))
