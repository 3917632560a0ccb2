"""What an operator changes while the server runs, switches off, or adds."""

import json
import os
import signal
import sys
import textwrap
from pathlib import Path

import httpx2
import pytest

from fixtures.watching import story, types, watching
from upstreams.openai_upstream import Gate, Reply, calls, refuses, says, wait_until

ECHO = Path(__file__).parents[2] / "examples" / "mcp-servers" / "echo" / "server.py"


@pytest.fixture
def home(tmp_path, write_agents):
    write_agents(tmp_path / "agents")
    return tmp_path


@pytest.fixture
def env(configured, provider, home, upstream):
    return configured(provider, home)


def servers(home: Path, *names: str) -> str:
    entries = {name: {"command": sys.executable, "args": [str(ECHO)]} for name in names}
    path = home / "servers.yaml"
    path.write_text(json.dumps({"mcpServers": entries}))
    return str(path)


def test_an_agent_file_is_taken_over_and_a_bad_edit_keeps_the_last_good_version(serve, env, home, connect, upstream):
    file = home / "agents" / "default.yaml"
    good = file.read_text()
    with serve(**env, AGENTRT_MODULES__MCP_REGISTRY="false") as server:
        api = connect(server)
        door = Gate()
        whole = says("pinned").frames
        upstream.script(calls(("clock", {})), Reply([door, *whole]), says("new"), says("still new"))
        old = api.post("/runs", json={"input": "go"}).json()
        assert door.reached.wait(30)
        file.write_text(good.replace("You are brief.", "You are a poet."))

        def version() -> str:
            return api.post("/runs", json={"input": "x", "agent": "default", "model": "offline/offline"}).json()["agent_version"]

        wait_until(lambda: version() != old["agent_version"])
        door.open()
        assert types(story(api, old["id"]))[-1] == "run_completed"
        assert api.get(f"/runs/{old['id']}").json()["agent_version"] == old["agent_version"]
        new = api.post("/runs?wait=30", json={"input": "go"}).json()
        prompts = [request.body["messages"][0]["content"].strip() for request in upstream.chats]
        assert prompts == ["You are brief.", "You are brief.", "You are a poet."], "a run keeps the version it began with"

        file.write_text(good.replace("prompt:", "promt:"))
        wait_until(lambda: api.get("/health").json()["status"] == "degraded")
        configs = json.dumps(api.get("/health").json()["modules"]["configs"])
        assert "default.yaml:" in configs and "prompt" in configs and str(home) not in configs
        assert "did you mean" in server.log
        kept = api.post("/runs?wait=30", json={"input": "go"}).json()
        assert (kept["agent_version"], kept["status"]) == (new["agent_version"], "completed")

        file.write_text(good)
        wait_until(lambda: api.get("/health").json()["status"] == "healthy")
        assert version() == old["agent_version"], "versions are named by content"

        (home / "agents" / "extra.yaml").write_text("name: extra\nmodel: offline/offline\n")
        wait_until(lambda: api.get("/v1/models/extra").status_code == 200)
        (home / "agents" / "extra.yaml").unlink()
        wait_until(lambda: api.get("/v1/models/extra").status_code == 404)


def test_tool_servers_come_and_go_with_their_file(serve, env, home, connect):
    with serve("--mcp-config", servers(home, "one"), **env) as server:
        api = connect(server)

        def listed() -> dict[str, str]:
            return {entry["name"]: entry["state"] for entry in api.get("/mcp-servers").json()["data"]}

        wait_until(lambda: listed() == {"one": "connected"})
        servers(home, "one", "two")
        wait_until(lambda: listed() == {"one": "connected", "two": "connected"})
        run = api.post("/runs?wait=30", json={"input": 'use two__echo with {"message": "hi"}', "agent": "offline"}).json()
        assert run["output"]["text"] == "The two__echo tool answered: hi"
        servers(home, "two")
        wait_until(lambda: listed() == {"two": "connected"})


def test_a_tool_server_that_is_killed_in_mid_call_fails_that_call_and_comes_back(
    serve, env, connect, upstream, left_behind, home
):
    upstream.script(calls(("echo__slow", {"seconds": 30, "steps": 300})), says("It broke."))
    with serve(**env) as server:
        api = connect(server)
        server.wait_connected()
        run = api.post("/runs", json={"input": "go"}).json()
        with watching(api, run["id"]) as events:
            assert any(event.type == "tool_stdout" for event in events)
            (pid,) = [p for p in left_behind(str(home)) if b"server.py" in cmdline(p) and b"supervise" not in cmdline(p)]
            os.kill(pid, signal.SIGKILL)
            rest = list(events)
        assert [event.type for event in rest if event.type.startswith("tool_f")] == ["tool_failed"]
        assert rest[-1].type == "run_completed", "the run goes on"
        wait_until(lambda: api.get("/mcp-servers/echo").json()["state"] == "connected")
        again = api.post("/runs?wait=30", json={"input": "Echo: back", "agent": "offline"}).json()
        assert again["output"]["text"] == "The echo tool answered: back"


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_tool_servers_that_cannot_be_are_named_with_what_to_do(serve, env, home, connect, openai_upstream):
    somewhere = openai_upstream()
    somewhere.answer = lambda request: refuses(404)
    base = somewhere.base_url.removesuffix("/v1")
    entries = {
        "missing": {"command": "no-such-command-anywhere"},
        "pathless": {"url": base},
        "nobody": {"url": "http://127.0.0.1:9/mcp"},
        "needed": {"command": "no-such-command-either", "required": True},
    }
    (home / "servers.yaml").write_text(json.dumps({"mcpServers": entries}))
    with serve("--mcp-config", str(home / "servers.yaml"), **env) as server:
        api = connect(server)
        wait_until(lambda: all(e["last_error"] for e in api.get("/mcp-servers").json()["data"]))
        seen = {entry["name"]: entry for entry in api.get("/mcp-servers").json()["data"]}
        assert "no-such-command-anywhere" in seen["missing"]["last_error"]
        assert "/mcp" in seen["pathless"]["suggestion"]
        health = api.get("/health").json()
        assert (health["status"], health["mcp_server_connected"]) == ("degraded", False)
        run = api.post("/runs?wait=30", json={"input": "Count from 1 to 3", "agent": "offline"}).json()
        assert run["output"]["text"] == "1, 2, 3"


def test_without_the_tool_registry_the_rest_works(serve, env, connect):
    with serve(**env, AGENTRT_MODULES__MCP_REGISTRY="false") as server:
        api = connect(server)
        assert api.get("/mcp-servers").status_code == 404
        health = api.get("/health").json()
        assert (health["status"], health["modules"]["mcp_registry"]["status"]) == ("healthy", "off")
        run = api.post("/runs?wait=30", json={"input": "What is 2 + 2 * 3?", "agent": "offline"}).json()
        assert run["output"]["text"].endswith("8")


THIRD_PARTY = '''
    from collections.abc import Sequence

    from litestar import get

    from agentrt.kernel import Module, ModuleHealth
    from agentrt.messages import Text, ToolResult
    from agentrt.tools import ToolDef


    class Dice:
        """A tool source that always throws the same."""

        name = "dice"

        async def list(self, agent, who):
            return [ToolDef(id="dice", description="Throw a dice.", schema={"type": "object"}, effect="read")]

        def missing(self, agent, who):
            return {}

        async def call(self, call, ctx):
            return ToolResult(call.id, (Text("four"),))


    class Guest(Module):
        name = "guest"

        def __init__(self, services):
            self._services = services

        @property
        def routes(self):
            @get("/guest", sync_to_thread=False)
            def guest() -> dict[str, str]:
                return {"default_agent": self._services.settings.default_agent}

            return (guest,)

        @property
        def tools(self):
            return (Dice(),)

        def health(self):
            return ModuleHealth("ok", "at home")
'''


def install(folder: Path) -> None:
    info = folder / "guest-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agentrt.modules]\nguest = guest_module:Guest\n")
    (folder / "guest_module.py").write_text(textwrap.dedent(THIRD_PARTY))


def test_a_module_of_another_package_plugs_in_and_can_be_switched_off(serve, env, connect, home):
    install(home / "packages")
    more = {**env, "PYTHONPATH": str(home / "packages"), "AGENTRT_MODULES__MCP_REGISTRY": "false"}
    with serve(**more) as server:
        api = connect(server)
        assert api.get("/guest").json() == {"default_agent": "default"}
        assert api.get("/health").json()["modules"]["guest"] == {"status": "ok", "detail": "at home"}
        assert "/guest" in api.get("/schema/openapi.json").json()["paths"]
        run = api.post("/runs?wait=30", json={"input": "use the dice tool", "agent": "offline"}).json()
        assert run["output"]["text"] == "The dice tool answered: four"
    with serve(**more, AGENTRT_MODULES__GUEST="false") as server:
        assert connect(server).get("/guest").status_code == 404


def test_a_module_that_cannot_be_loaded_is_named(serve, env, home):
    install(home / "packages")
    (home / "packages" / "guest_module.py").write_text("import nothing_that_is_there\n")
    with pytest.raises(AssertionError) as refused, serve(**env, PYTHONPATH=str(home / "packages")):
        pass
    said = str(refused.value)
    assert "Error: the module guest" in said and "nothing_that_is_there" in said and "Traceback" not in said


def test_no_more_runs_than_allowed_go_on_at_once(serve, env, connect, upstream):
    doors = [Gate() for _ in range(3)]
    whole = says("done").frames
    upstream.script(*[Reply([*whole[:1], door, *whole[1:]]) for door in doors])
    with serve(**env, AGENTRT_MAX_ACTIVE_RUNS="2", AGENTRT_MODULES__MCP_REGISTRY="false") as server:
        api: httpx2.Client = connect(server)
        runs = [api.post("/runs", json={"input": str(n)}).json() for n in range(3)]
        assert [run["status"] for run in runs] == ["running", "running", "queued"]
        health = api.get("/health").json()
        assert (health["active_runs"], health["queued_runs"]) == (2, 1)
        queued = api.get("/runs", params={"status": "queued"}).json()["data"]
        assert [run["id"] for run in queued] == [runs[2]["id"]]
        for door in doors:
            door.open()
        assert types(story(api, runs[2]["id"]))[:2] == ["run_queued", "run_started"]
