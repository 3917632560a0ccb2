"""What a session is promised, and that nobody's sessions keep the others out."""

from typing import Any

import anyio
import httpx2
import pytest

from agentrt.kernel import Principal
from agentrt.mcp_server.visits import Visits
from fixtures.mcp_hello import HELLO, OLDER

pytestmark = pytest.mark.anyio

ADA, BOB = Principal(user="ada"), Principal(user="bob")


def open_of(visits: Visits) -> list[str]:
    """Ends one after the other, as they would have to go."""
    ids = []
    while found := visits.idlest():
        ids.append(found[0])
        visits.end(found[0])
    return ids


async def test_who_has_most_sessions_loses_the_one_that_was_idle_for_longest() -> None:
    visits = Visits()
    for session, who in (("a1", ADA), ("b1", BOB), ("b2", BOB), ("b3", BOB)):
        visits.begin(session, who)
    with visits.using("b1", BOB):
        pass
    assert open_of(visits) == ["b2", "b3", "a1", "b1"]


async def test_a_session_at_work_stays_and_what_a_stranger_says_of_it_counts_for_nothing() -> None:
    visits = Visits()
    visits.begin("a1", ADA)
    visits.begin("a2", ADA)
    with visits.using("a1", ADA), visits.using("a2", BOB):
        assert visits.idlest() == ("a2", ADA)
        visits.end("a2")
        assert visits.idlest() is None


async def test_what_is_declared_is_what_happens(live_server: Any, speak: Any) -> None:
    async with speak(live_server) as client:
        told = client.server_capabilities
        assert (told.tools.list_changed, told.prompts.list_changed, told.resources.list_changed) == (True, False, False)
        assert not told.resources.subscribe


async def test_only_what_will_come_is_acknowledged(live_server: Any) -> None:
    asked = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["workspace:///a.txt"]}
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": asked, "_meta": meta}}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "subscriptions/listen",
    }
    async with (
        httpx2.AsyncClient(timeout=30) as http,
        http.stream("POST", f"{live_server.url}/mcp", json=body, headers=headers) as answer,
    ):
        first = await anext(line async for line in answer.aiter_lines() if line.startswith("data:"))
    assert '"notifications":{"toolsListChanged":true}' in first


@pytest.mark.timeout(180)
async def test_sessions_that_nobody_ends_keep_nobody_out(live_server: Any) -> None:
    accept = {"accept": "application/json, text/event-stream"}

    async def begin(http: httpx2.AsyncClient, user: str) -> str:
        answer = await http.post("/mcp", json=HELLO, headers={**accept, "x-user-id": user})
        assert answer.status_code == 200, answer.text
        return answer.headers["mcp-session-id"]

    async def ping(http: httpx2.AsyncClient, user: str, session: str) -> int:
        headers = {**accept, "x-user-id": user, "mcp-session-id": session, "mcp-protocol-version": OLDER}
        body = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        return (await http.post("/mcp", json=body, headers=headers)).status_code

    async with httpx2.AsyncClient(base_url=live_server.url, timeout=30) as http:
        quiet = await begin(http, "ada")
        flood: list[str] = []

        async def pour() -> None:
            for _ in range(210):
                flood.append(await begin(http, "mallory"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(pour)
        assert await ping(http, "ada", quiet) == 200, "the session of who has one only is not the one that goes"
        assert await ping(http, "bob", await begin(http, "bob")) == 200
        assert await ping(http, "mallory", flood[0]) == 404
        assert await ping(http, "mallory", flood[-1]) == 200
