import asyncio

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from agentrt.kernel import NotFound
from agentrt.mcp_registry import McpServerSpec


def test_people_see_the_servers_their_tools_and_what_is_wrong(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older(description="An older one"), gone=McpServerSpec(command="no-such-command")) as s:
            await s.tools()
            await s.call("old__shout")
            app = Litestar([*s.registry.routes])
            async with AsyncTestClient(app) as client:
                listed = (await client.get("/mcp-servers")).json()
                shown = (await client.get("/mcp-servers/old")).json()
            assert {name: listed[name] for name in ("object", "has_more", "first_id", "last_id")} == {
                "object": "list",
                "has_more": False,
                "first_id": "old",
                "last_id": "gone",
            }
            old, gone = listed["data"]
            assert old["state"] == "connected" and "old__look" in old["tools"] and old["last_error"] is None
            assert gone["state"] == "failed" and gone["last_error"].startswith("the command 'no-such-command'")
            assert {"id": "old__look", "title": "", "description": "", "effect": "read"} in shown["tool_details"]
            assert "second line" in shown["stderr"]
            assert "older.py" not in str(listed) + str(shown)

    asyncio.run(main())


def test_a_server_that_does_not_exist_is_not_found(seat) -> None:
    async def main() -> None:
        async with seat() as s:
            with pytest.raises(NotFound, match="there is no MCP server 'nobody'"):
                s.registry.show("nobody")

    asyncio.run(main())
