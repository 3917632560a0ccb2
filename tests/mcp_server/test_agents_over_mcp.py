"""Agents as tools, and the prompt that describes one, against a server on which no code runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import MCPError

from fixtures.postgres import free_port
from upstreams.mcp_over_http import demo, serving
from upstreams.openai_upstream import Gate, OpenAIUpstream, Reply, calls, chunk, event, refuses, says

pytestmark = pytest.mark.anyio

AGENTS = {
    "default": "model: openai/gpt-4o-mini\nprompt: You are brief.\ntools: [clock]\n",
    "with.dots": "model: openai/gpt-4o-mini\ndescription: Knows dots.\n",
    "inner": "model: openai/gpt-4o-mini\n",
}


@pytest.fixture
def provider(openai_upstream: Callable[..., OpenAIUpstream]) -> OpenAIUpstream:
    return openai_upstream()


@pytest.fixture
def world(serve, provider: OpenAIUpstream, tmp_path: Path):
    """Starts a server with these agents."""

    def start(**env: str) -> Any:
        folder = tmp_path / "agents"
        folder.mkdir(exist_ok=True)
        for name, text in AGENTS.items():
            (folder / f"{name}.yaml").write_text(f"name: {name}\nretry: {{attempts: 1}}\n{text}")
        given = {
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": "sk-mcp",
            "AGENTRT_CONFIG": str(folder),
            "AGENTRT_MODULES__MCP_REGISTRY": "false",
        }
        return serve(**given | env)

    return start


async def test_agents_are_tools_as_far_as_the_settings_offer_them(world, speak, text_of) -> None:
    with world(AGENTRT_MCP_AGENTS="default,with*", AGENTRT_MCP_AGENT="default") as server:
        async with speak(server) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"clock", "agent__default", "agent__with_dots"}
            dots = tools["agent__with_dots"]
            assert dots.description == "Asks the agent with.dots: Knows dots." and dots.title == "with.dots"
            assert dots.annotations.open_world_hint and dots.output_schema["required"][0] == "text"
            hidden = await client.call_tool("agent__inner", {"message": "hi"})
            assert hidden.is_error and "(agents: agent__default, agent__with_dots)" in text_of(hidden)
            with pytest.raises(MCPError, match="there is no agent 'inner'"):
                await client.get_prompt("agent_system_prompt", {"agent": "inner"})
            found = await client.complete({"type": "ref/prompt", "name": "agent_system_prompt"}, {"name": "agent", "value": ""})
            assert found.completion.values == ["default", "with.dots"]


async def test_an_agent_answers_and_its_conversation_goes_on(world, speak, provider, text_of) -> None:
    provider.script(says("Hello Ada"), says("You said: hi"))
    with world() as server:
        async with speak(server, "ada") as client:
            first = await client.call_tool("agent__default", {"message": "hi"})
            told = first.structured_content
            assert (text_of(first), told["status"], first.is_error) == ("Hello Ada", "completed", False)
            again = {"message": "what did I say?", "session": told["session_id"]}
            second = await client.call_tool("agent__default", again)
            assert second.structured_content["session_id"] == told["session_id"]
        asked = provider.chats[-1].body["messages"]
        assert [message["content"] for message in asked][-3:] == ["hi", "Hello Ada", "what did I say?"]
        with httpx2.Client(base_url=server.url) as http:
            run = http.get(f"/runs/{told['run_id']}").json()
        assert (run["agent"], run["metadata"], run["status"]) == ("default", {"via": "mcp"}, "completed")


async def test_what_an_agent_writes_and_does_is_progress(world, speak, provider) -> None:
    told: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    provider.script(calls(("clock", {})), says("It is late"))
    with world() as server:
        async with speak(server) as client:
            await client.call_tool("agent__default", {"message": "time?"}, progress_callback=hear)
    assert "".join(told) == "[clock]\nIt is late"


async def test_an_agent_that_fails_says_why(world, speak, provider, text_of) -> None:
    provider.script(refuses(401, "no credit"))
    with world() as server:
        async with speak(server) as client:
            result = await client.call_tool("agent__default", {"message": "hi"})
    assert result.is_error and result.structured_content["status"] == "failed" and text_of(result)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "missing required field `message`"),
        ({"message": " "}, "nothing to do"),
        ({"message": "hi", "sesion": "x"}, "unknown field `sesion`"),
        ({"message": "hi", "session": "a b"}, "session id"),
        ({"message": "hi", "session": "sess_" + "0" * 32}, "session"),
    ],
)
async def test_a_message_that_cannot_be_used_is_refused(live_server, speak, text_of, arguments, complaint) -> None:
    async with speak(live_server) as client:
        result = await client.call_tool("agent__default", arguments)
    assert result.is_error and complaint in text_of(result)


async def test_a_caller_that_cancels_cancels_the_run(world, speak, provider) -> None:
    door = Gate()
    provider.script(Reply([event(chunk({"content": "begun"})), door]))
    begun = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    with world() as server:
        async with speak(server) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: client.call_tool("agent__default", {"message": "go"}, progress_callback=hear))
                with anyio.fail_after(30):
                    await begun.wait()
                group.cancel_scope.cancel()
            async with httpx2.AsyncClient(base_url=server.url, timeout=50) as http:
                (run,) = (await http.get("/runs")).json()["data"]
                events = (await http.get(f"/runs/{run['id']}/events")).text
        assert "event: run_cancelled" in events
        door.open()


async def test_without_an_engine_the_code_tools_say_what_is_missing(live_server, speak, text_of) -> None:
    async with speak(live_server) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert "execute_python" not in names and "agent__default" in names
        result = await client.call_tool("execute_python", {"code": "1"})
        assert result.is_error and "containers.engine is none" in text_of(result)
        assert (await client.list_resources()).resources == []


async def test_where_the_agent_is_not_loaded_its_name_is_in_health(world, speak) -> None:
    with world() as server, httpx2.Client(base_url=server.url) as http:
        detail = http.get("/health").json()["modules"]["mcp_server"]
        assert detail == {"status": "ok", "detail": "no agent code-executor is loaded: the code tools are offered"}
        async with speak(server) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {
                "agent__default", "agent__inner", "agent__with_dots",
            }  # fmt: skip


async def test_the_prompt_describes_an_agent_its_tools_and_its_skills(live_server, speak) -> None:
    async with speak(live_server) as client:
        (prompt,) = (await client.list_prompts()).prompts
        assert (prompt.name, [argument.name for argument in prompt.arguments]) == ("agent_system_prompt", ["agent"])
        own = (await client.get_prompt("agent_system_prompt")).messages[0].content.text
        assert "You solve tasks by writing and executing code" in own and "- clock: Tells the current date" in own
        assert "Skills are instructions" in own
        other = (await client.get_prompt("agent_system_prompt", {"agent": "default"})).messages[0].content.text
        assert other != own
        for name, arguments in (("agent_system_prompt", {"agent": "nobody"}), ("other", {})):
            with pytest.raises(MCPError, match="there is no"):
                await client.get_prompt(name, arguments)
        found = await client.complete({"type": "ref/prompt", "name": "agent_system_prompt"}, {"name": "agent", "value": "de"})
        assert found.completion.values == ["default"]


async def test_the_prompt_is_a_tool_servers_where_the_agent_has_it_from_there(world, speak, tmp_path) -> None:
    (tmp_path / "agents").mkdir()
    for name, wanted in (("guest", "house_rules"), ("stranger", "nothing")):
        text = f"name: {name}\nmodel: openai/gpt-4o-mini\nprompt: My own.\nprompt_from: house/{wanted}\n"
        (tmp_path / "agents" / f"{name}.yaml").write_text(text)
    async with serving(demo(), free_port()) as url:
        (tmp_path / "servers.yaml").write_text(f"mcpServers: {{house: {{url: {url}/mcp}}}}\n")
        env = {"AGENTRT_MODULES__MCP_REGISTRY": "true", "AGENTRT_MCP_CONFIG": str(tmp_path / "servers.yaml")}
        with world(**env) as server:
            async with httpx2.AsyncClient(base_url=server.url) as http, speak(server) as client:
                with anyio.fail_after(40):
                    while (await http.get("/mcp-servers/house")).json()["state"] != "connected":
                        pass
                prompts = [await client.get_prompt("agent_system_prompt", {"agent": name}) for name in ("guest", "stranger")]
    borrowed, own = (prompt.messages[0].content.text for prompt in prompts)
    assert borrowed.startswith("Be kind.\n\nBe brief.") and "My own." not in borrowed
    assert own.startswith("My own.") and "cannot be had now" in prompts[1].description


async def test_clients_are_told_when_the_tools_change(world, speak, tmp_path) -> None:
    changed = anyio.Event()

    async def heard(message: Any) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            changed.set()

    with world() as server:
        async with speak(server, message_handler=heard) as client:
            before = {tool.name for tool in (await client.list_tools()).tools}
            if client.protocol_version == "2025-11-25":
                (tmp_path / "agents" / "late.yaml").write_text("name: late\nmodel: openai/gpt-4o-mini\n")
                with anyio.fail_after(30):
                    await changed.wait()
            else:
                with anyio.fail_after(30):
                    async with client.listen(tools_list_changed=True) as events:
                        (tmp_path / "agents" / "late.yaml").write_text("name: late\nmodel: openai/gpt-4o-mini\n")
                        async for _ in events:
                            break
            after = {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
            assert after - before == {"agent__late"}
