"""Connections that nobody wants any more end, whatever goes on just then."""

import asyncio

import pytest

from agentrt.mcp_registry import McpServerSpec
from fixtures.postgres import free_port
from upstreams.mcp_over_http import curt, serving


def test_a_connection_that_is_closed_as_soon_as_it_stands_stays_closed(seat) -> None:
    """Whatever of the SDK's tasks is just ending then: their groups may take the cancellation for their own."""

    async def main() -> None:
        async with serving(curt(), free_port()) as url:
            for turns in range(40):
                async with asyncio.timeout(20), seat(web=McpServerSpec(url=f"{url}/mcp")) as s:
                    while s.registry.show("web").state != "connected":  # noqa: ASYNC110
                        await asyncio.sleep(0)
                    for _ in range(turns):
                        await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["reloaded", "closed"])
def test_a_server_that_a_turn_still_waits_for_can_be_taken_away(seat, how) -> None:
    async def main() -> None:
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            async with seat(mute=McpServerSpec(command="sleep", args=("600",)), wait_s=30) as s:
                turn = group.create_task(s.tools())
                await asyncio.sleep(0)
                if how == "reloaded":
                    await s.registry.reload({})
                    assert await turn == {}
            assert await turn == {}

    asyncio.run(main())
