import asyncio
import json

import pytest

from agentrt.kernel import SYSTEM, NotFound, UpstreamFailed
from agentrt.mcp_registry import McpServerSpec, Pace, examine, servers_in
from agentrt.mcp_registry.server import MOST_USERS
from agentrt.mcp_registry.spec import McpServers
from agentrt.tools import ToolUnavailable
from fixtures.postgres import free_port
from upstreams.mcp_over_http import answer, demo, older, serving

ERAS = pytest.mark.parametrize("era", [lambda app: app, older], ids=["stateless", "older"])


def at(url: str, **more) -> McpServerSpec:
    return McpServerSpec(url=f"{url}/mcp", **more)


@ERAS
def test_a_server_over_http_is_used_and_a_changed_list_is_read_again(seat, era) -> None:
    async def main() -> None:
        async with serving(era(demo()), free_port()) as url, seat(web=at(url)) as s:
            assert set(await s.tools()) == {"web__who_am_i", "web__slow", "web__grow"}
            assert s.registry.show("web").protocol_version == ("2025-11-25" if era is older else "2026-07-28")
            assert (await s.call("web__grow")).text == "grown"
            if era is older:  # this one has no way to tell everybody
                return
            await s.until(lambda: "web__extra" in s.registry.show("web").tools)
            assert (await s.call("web__extra")).text == "more"

    asyncio.run(main())


@ERAS
def test_prompts_are_read_and_what_is_not_there_is_said(seat, era) -> None:
    async def main() -> None:
        async with serving(era(demo()), free_port()) as url, seat(web=at(url)) as s:
            await s.state("web", "connected")
            assert await s.registry.prompt(SYSTEM, "web", "house_rules") == "Be kind.\n\nBe brief."
            with pytest.raises(UpstreamFailed, match="the server refused"):
                await s.registry.prompt(SYSTEM, "web", "nothing")
            with pytest.raises(NotFound, match="no MCP server 'wab'"):
                await s.registry.prompt(SYSTEM, "wab", "house_rules")
        async with seat(gone=McpServerSpec(url=f"http://127.0.0.1:{free_port()}/mcp")) as s:
            await s.state("gone", "failed")
            with pytest.raises(ToolUnavailable, match="not connected"):
                await s.registry.prompt(SYSTEM, "gone", "house_rules")

    asyncio.run(main())


@ERAS
def test_a_server_that_goes_away_fails_its_calls_and_is_found_again(seat, era) -> None:
    async def main() -> None:
        port = free_port()
        async with seat(web=McpServerSpec(url=f"http://127.0.0.1:{port}/mcp")) as s, asyncio.TaskGroup() as group:
            async with serving(era(demo()), port):
                await s.state("web", "connected")
                call = group.create_task(_failure(s.call("web__slow")))
                await s.heard_something.wait()
            failure = await call
            assert isinstance(failure, ToolUnavailable) and failure.sent
            await s.until(lambda: s.registry.show("web").state != "connected")
            async with serving(era(demo()), port):
                await s.state("web", "connected")
                assert (await s.call("web__who_am_i")).text

    asyncio.run(main())


@ERAS
def test_a_call_given_up_is_cancelled_at_the_server_which_serves_on(seat, era) -> None:
    async def main() -> None:
        cancelled = asyncio.Event()
        async with serving(era(demo(cancelled)), free_port()) as url, seat(web=at(url)) as s:
            await s.tools()
            async with asyncio.TaskGroup() as group:
                call = group.create_task(s.call("web__slow"))
                await s.heard_something.wait()
                call.cancel()
                async with asyncio.timeout(30):
                    await cancelled.wait()
            assert (await s.call("web__who_am_i")).text

    asyncio.run(main())


async def _failure(call) -> BaseException | None:
    try:
        await call
    except ToolUnavailable as exc:
        return exc
    return None


def test_each_user_has_a_connection_where_headers_name_them(seat) -> None:
    async def main() -> None:
        headers = {"x-user-id": "${AGENTRT_USER}", "Authorization": "Bearer ${WEB_TOKEN}"}
        async with (
            serving(demo(), free_port()) as url,
            seat({"WEB_TOKEN": "very-secret"}, web=at(url, headers=headers)) as s,
        ):
            for user, header in (("ada", "ada"), ("bob", "bob"), ("Zoë\n", "Zo%C3%AB%0A"), ("", None)):
                assert "web__who_am_i" in await s.tools(user=user)
                told = json.loads((await s.call("web__who_am_i", user=user)).text)
                assert told == {"x-user-id": header, "authorization": "Bearer very-secret"}
            assert "very-secret" not in repr(s.registry.show("web"))

    asyncio.run(main())


def test_connections_of_users_are_closed_when_idle_and_when_there_are_too_many(seat) -> None:
    async def main() -> None:
        async with (
            serving(demo(), free_port()) as url,
            seat(web=at(url, headers={"x-user-id": "${AGENTRT_USER}"}), idle_s=0.2) as s,
        ):
            [server] = s.registry._servers.values()
            for number in range(MOST_USERS + 3):
                await s.tools(user=f"user {number}")
            assert len(server._places) <= MOST_USERS + 1
            await s.until(lambda: len(server._places) == 1)
            assert json.loads((await s.call("web__who_am_i", user="user 0")).text)["x-user-id"] == "user 0"

    asyncio.run(main())


def test_MCP_SERVER_URL_names_a_server_called_default(seat) -> None:
    async def main() -> None:
        async with serving(demo(), free_port()) as url:
            servers = servers_in(McpServers(), folder=None, env={"MCP_SERVER_URL": f"{url}/mcp"})
            async with seat(**servers) as s:
                assert "default__who_am_i" in await s.tools(user="ada")
                assert json.loads((await s.call("default__who_am_i", user="ada")).text)["x-user-id"] == "ada"

    asyncio.run(main())


MISTAKES = {
    "no path": (lambda url: url, demo(), ("{shown} answers 404", "did you mean {url}/mcp ?")),
    "404": (lambda url: f"{url}/mcp", answer(404), ("{shown} answers 404", "is the path right? it is often /mcp")),
    "401": (lambda url: f"{url}/mcp", answer(401), ("{shown} answers 401", "it wants credentials; give them as headers")),
    "406": (lambda url: f"{url}/sse", answer(406), ("{shown} answers 406", "it seems to speak another transport")),
    "500": (lambda url: f"{url}/mcp", answer(500), ("{shown} answers 500: the server has a problem of its own", "")),
    "a web page": (
        lambda url: f"{url}/",
        answer(200, "<html>", "text/html; charset=utf-8"),
        ("{shown} answers with a web page, not with MCP", "is the path right?"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_address_is_diagnosed_with_a_suggestion(seat, mistake) -> None:
    async def main() -> None:
        address, app, (problem, suggestion) = MISTAKES[mistake]
        async with serving(app, free_port()) as url:
            shown = address(url)
            secret = address(url.replace("http://", "http://ada:pass-word@")) + "?key=abcdefgh"
            async with seat(web=McpServerSpec(url=secret)) as s:
                assert await s.tools() == {}
                view = s.registry.show("web")
                assert view.last_error == "; ".join(filter(None, (problem.format(shown=shown), view.suggestion)))
                assert (view.suggestion or "").startswith(suggestion.format(url=url))
                assert "pass-word" not in repr(view) and "abcdefgh" not in repr(view)
                found = await examine(McpServerSpec(url=secret), {})
                assert found is not None and str(found) == view.last_error

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/mcp", "nothing answers at http://127.0.0.1:1/mcp: the connection was refused"),
        ("http://no-such-host.invalid/mcp", "the host of http://no-such-host.invalid/mcp is not known"),
        ("ftp://somewhere/mcp", "its url must begin with http:// or https://, not 'ftp://somewhere/mcp'"),
        ("http://${NO_SUCH_HOST}/mcp", "the environment variable NO_SUCH_HOST is not set"),
    ],
)
def test_an_address_where_nobody_is_is_named(seat, url, words) -> None:
    async def main() -> None:
        async with seat(web=McpServerSpec(url=url), pace=Pace(backoff_s=10)) as s:
            assert await s.tools() == {}
            assert (s.registry.show("web").last_error or "").startswith(words)

    asyncio.run(main())


def test_a_server_that_answers_as_it_should_has_no_diagnosis() -> None:
    async def main() -> None:
        async with serving(demo(), free_port()) as url:
            assert await examine(at(url), {}) is None

    asyncio.run(main())
