"""What is wrong but does not keep a server from serving: it serves, and says so."""

import asyncio
import resource

import asyncpg
import pytest

from fixtures.watching import story, types
from upstreams.openai_upstream import Gate, Reply, says, wait_until

QUIET = {"AGENTRT_MODULES__MCP_REGISTRY": "false"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: default\nmodle: offline/offline\n", ("default.yaml:2:1", "did you mean 'model'")),
        ("name: default\nmodel: [offline/offline\n", ("default.yaml:",)),
        ("name: default\nprompt: 'Hi {{ nothing }}'\n", ("default.yaml:2:", "nothing")),
        ("name: default\nbudgets: {cost: -5}\n", ("default.yaml:2:", "cost")),
        ("name: default\nparameters: {temperature: 9}\n", ("default.yaml:2:", "temperature")),
    ],
)
def test_a_broken_agent_file_is_named_with_its_line_and_the_others_serve(serve, connect, tmp_path, text, words):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "default.yaml").write_text(text)
    (tmp_path / "agents" / "other.yaml").write_text("name: other\nmodel: offline/offline\n")
    with serve("--config", str(tmp_path / "agents"), **QUIET) as server:
        api = connect(server)
        health = api.get("/health").json()
        (problem,) = health["modules"]["configs"]["detail"]["problems"]
        assert health["status"] == "degraded" and all(word in problem for word in words), problem
        assert f"warning {problem}" in server.log, "the person who starts it reads it"
        assert api.post("/runs?wait=30", json={"input": "Count from 1 to 2", "agent": "other"}).json()["status"] == "completed"
        missing = api.post("/runs", json={"input": "hi"})
        assert (missing.status_code, missing.json()["code"]) == (404, "agent_not_found")


def test_a_broken_file_of_tool_servers_is_named(serve, connect, tmp_path):
    (tmp_path / "servers.yaml").write_text("mcpServers:\n  one: {comand: x}\n")
    with serve("--mcp-config", str(tmp_path / "servers.yaml")) as server:
        health = connect(server).get("/health").json()
        (problem,) = health["modules"]["configs"]["detail"]["problems"]
        assert problem.startswith("servers.yaml:2:") and "did you mean 'command'" in problem


def test_a_default_model_that_nobody_knows_is_passed_over_aloud(serve, connect):
    with serve(DEFAULT_MODEL="nobody/nothing", **QUIET) as server:
        assert "nobody is not a known provider" in server.log
        assert connect(server).post("/runs?wait=30", json={"input": "Say hello!"}).json()["provider"] == "offline"


def test_a_default_model_may_be_a_bare_id_as_callers_may_name_one(serve, connect):
    with serve(DEFAULT_MODEL="claude-sonnet-5-5", ANTHROPIC_API_KEY="sk-test", OPENAI_API_KEY="sk-test", **QUIET) as server:
        health = connect(server).get("/health").json()
        assert health["default_agent"]["model"] == "anthropic/claude-sonnet-5-5"
        assert "default uses anthropic/claude-sonnet-5-5: DEFAULT_MODEL says so" in server.log
        assert health["modules"]["configs"]["status"] == "ok"


def test_agent_means_whichever_agent_is_the_default_one_everywhere(serve, connect):
    with serve(AGENT_NAME="code-executor", AGENTRT_MODULES__MCP_REGISTRY="false") as server:
        api = connect(server)
        chat = {"model": "agent", "messages": [{"role": "user", "content": "Say hello!"}]}
        asked = api.post("/v1/chat/completions", json=chat).headers["x-run-id"]
        started = api.post("/runs?wait=30", json={"agent": "agent", "input": "Say hello!"}).json()["id"]
        assert [api.get(f"/runs/{run}").json()["agent"] for run in (asked, started)] == ["code-executor", "code-executor"]
        cards = [api.get(f"/v1/models/{name}").json()["agentrt"] for name in ("agent", "code-executor", "default")]
        assert [card["aliases"] for card in cards] == [["agent"], ["agent"], []]


def test_a_default_agent_that_is_not_there_is_named_with_those_that_are(serve, connect):
    with serve(AGENT_NAME="defualt", **QUIET) as server:
        assert "no agent has this name; there are code-executor, default" in server.log


def test_a_module_that_nobody_has_is_named(serve):
    with serve(**QUIET) as server:
        assert "modules.unknown" not in server.log
    with serve(**QUIET, AGENTRT_MODULES__MCP_SERVR="false") as server:
        assert "modules.unknown" in server.log and "mcp_servr" in server.log


def test_a_full_disk_is_a_503_and_nothing_is_lost_once_there_is_room(serve, connect, provider, upstream, configured, tmp_path):
    env = configured(provider, tmp_path)
    with serve(**env, **QUIET) as server:
        api = connect(server)
        door = Gate()
        whole = says("kept").frames
        upstream.script(Reply([*whole[:2], door, *whole[2:]]))
        run = api.post("/runs", json={"input": "go"}).json()
        assert door.reached.wait(30)
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        refused = api.post("/runs", json={"input": "no room", "agent": "offline"})
        assert refused.status_code == 503, refused.text
        assert refused.headers["content-type"] == "application/problem+json" and refused.headers["retry-after"]
        chat = api.post("/v1/chat/completions", json={"model": "offline", "messages": [{"role": "user", "content": "hi"}]})
        assert chat.status_code == 503 and chat.json()["error"]["message"]
        assert "Traceback" not in refused.text + chat.text and str(tmp_path) not in refused.text + chat.text
        assert api.get(f"/runs/{run['id']}").status_code == 200, "reading goes on"
        health = api.get("/health").json()
        assert (health["status"], health["modules"]["database"]["status"]) == ("degraded", "failed")
        door.open()
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        assert types(story(api, run["id"]))[-1] == "run_completed"
        assert api.post("/runs?wait=30", json={"input": "Count from 1 to 2", "agent": "offline"}).json()["status"] == "completed"


def test_a_database_that_goes_away_is_a_503_until_it_comes_back(serve, connect, postgres_url, provider, configured, tmp_path):
    env = configured(provider, tmp_path)
    admin, _, name = postgres_url.rpartition("/")

    def execute(*commands: str) -> None:
        async def main() -> None:
            conn = await asyncpg.connect(f"{admin}/postgres")
            for command in commands:
                await conn.execute(command)
            await conn.close()

        asyncio.run(main())

    with serve(**env, DATABASE_URL=postgres_url, **QUIET) as server:
        api = connect(server)
        body = {"input": "Count from 1 to 2", "agent": "offline"}
        first = api.post("/runs?wait=30", json=body).json()
        execute(
            f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false',
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        for answer in (api.post("/runs", json=body), api.get(f"/runs/{first['id']}"), api.get("/sessions")):
            assert answer.status_code == 503 and answer.json()["detail"], answer.text
            assert "Traceback" not in answer.text and "postgres:" not in answer.text
        assert api.get("/health/live").status_code == 200
        assert api.get("/health").json()["modules"]["database"]["status"] == "failed"
        execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
        wait_until(lambda: api.post("/runs?wait=30", json=body).status_code == 202)
        assert api.get(f"/runs/{first['id']}").json()["status"] == "completed"
        assert api.get("/health").json()["status"] == "healthy"
