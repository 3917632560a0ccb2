"""MCP servers over HTTP, in the test's own loop, that can be stopped and started again at the same address."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage


def demo(cancelled: asyncio.Event | None = None) -> Any:
    """An ASGI app with a few tools, of the stateless protocol and the older ones. `cancelled` is set when `slow` is."""
    server = MCPServer("demo", version="2", log_level="CRITICAL")

    @server.tool()
    async def who_am_i(context: Context) -> str:
        """What the headers say."""
        headers = context.headers or {}
        return json.dumps({name: headers.get(name) for name in ("x-user-id", "authorization")})

    @server.tool()
    async def slow(context: Context) -> str:
        """Take long."""
        await context.report_progress(1, 2, "begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            if cancelled is not None:
                cancelled.set()
            raise
        return "done"

    @server.tool()
    async def grow(context: Context) -> str:
        """Offer one tool more."""

        def extra() -> str:
            """One more."""
            return "more"

        server.add_tool(extra, name="extra")
        await context.notify_tools_changed()
        return "grown"

    @server.prompt()
    def house_rules() -> list[UserMessage]:
        """How to behave."""
        return [UserMessage("Be kind."), UserMessage("Be brief.")]

    return server.streamable_http_app()


def older(app: Any) -> Any:
    """The same, as it was before the stateless protocol: it knows no `server/discover`."""

    async def gate(scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await app(scope, receive, send)
        message = await receive()
        body = json.loads(message.get("body") or b"{}")
        if body.get("method") == "server/discover":
            error = {"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32601, "message": "Method not found"}}
            return await answer(200, json.dumps(error), "application/json")(scope, receive, send)
        waiting = [message]

        async def again():
            return waiting.pop() if waiting else await receive()

        return await app(scope, again, send)

    return gate


def curt() -> Any:
    """An ASGI app of the stateless protocol with one tool, which answers at once whatever else it is asked, with nothing."""
    known: dict[str, dict[str, Any]] = {
        "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}},
        "tools/list": {"tools": [{"name": "nod", "inputSchema": {"type": "object"}}]},
    }

    async def app(scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        asked = json.loads((await receive())["body"])
        result = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **known.get(asked["method"], {})}
        said = json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result})
        await answer(200, said, "application/json")(scope, receive, send)

    return app


def answer(status: int, body: str = "", kind: str = "text/plain") -> Any:
    """An ASGI app that says the same to everybody."""

    async def app(scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": body.encode()})

    return app


@asynccontextmanager
async def serving(app: Any, port: int) -> AsyncIterator[str]:
    """The app at `http://127.0.0.1:port` for the time of the block; it leaves at once, like one that is killed."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=0))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.serve())
        async with asyncio.timeout(30):
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = server.force_exit = True
            await asyncio.wait({running})
