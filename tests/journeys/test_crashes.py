"""`kill -9`, and what the next start makes of it. Each on SQLite; the first one on PostgreSQL too."""

import json
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from fixtures.watching import story, text_of, types, watching
from upstreams.openai_upstream import Gate, Reply, calls, chunk, event, says, wait_until

SHOWN, WHOLE = "This was shown before", "This is the whole answer."
OLDER = Path(__file__).parents[1] / "mcp_registry" / "servers" / "older.py"
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def breaking_off() -> Reply:
    return Reply([event(chunk({"content": SHOWN})), Gate()])


@pytest.fixture
def world(serve, provider, upstream, configured, tmp_path, connect):
    """Starts servers over the same data, one after the other; without tool servers, which take a while to start, by default."""
    env = configured(provider, tmp_path)

    def start(tools: bool = False, **more: str):
        return serve(**env, **more, AGENTRT_MODULES__MCP_REGISTRY=str(tools).lower())

    return start


def read_until_cut(server, connect, run_id: str, seen: list, shown: threading.Event) -> None:
    try:
        with watching(connect(server), run_id) as events:
            for one in events:
                seen.append(one)
                if one.type in ("text_delta", "tool_stdout"):
                    shown.set()
    except httpx2.TransportError:
        return


def killed_while_watched(server, connect, run_id: str) -> list:
    """What a watcher saw until the server was killed, which happens once it has seen the run at work."""
    seen: list = []
    shown = threading.Event()
    reader = threading.Thread(target=read_until_cut, args=(server, connect, run_id, seen, shown))
    reader.start()
    assert shown.wait(30)
    server.kill()
    reader.join(30)
    return seen


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_model_call_that_was_cut_off_is_made_again(world, upstream, connect, request, database):
    more = {} if database == "sqlite" else {"DATABASE_URL": request.getfixturevalue("postgres_url")}
    upstream.script(says("Nice to meet you."), breaking_off(), says(WHOLE))
    with world(**more) as server:
        api = connect(server)
        api.post("/runs?wait=30", json={"input": "I am Ada \x00 🦊", "session_id": "s"})
        run = api.post("/runs", json={"input": "go", "session_id": "s"}, headers={"idempotency-key": "k"}).json()
        seen = killed_while_watched(server, connect, run["id"])
    assert text_of(seen) == SHOWN
    with world(**more) as server:
        api = connect(server)
        rest = story(api, run["id"], seen[-1].id)
        assert types(rest) == [
            "model_failed", "text_discarded", "model_started", "text_delta", "model_completed", "final_text", "run_completed"
        ]  # fmt: skip
        assert rest[0].data["interrupted"] is True
        assert text_of(seen + rest) == WHOLE, "what was shown is void"
        assert text_of(story(api, run["id"])) == WHOLE
        ended = api.get(f"/runs/{run['id']}").json()
        assert (ended["status"], ended["output"]["text"]) == ("completed", WHOLE)
        again = api.post("/runs", json={"input": "go", "session_id": "s"}, headers={"idempotency-key": "k"})
        assert again.json()["id"] == run["id"] and again.headers["idempotency-replayed"] == "true"
        assert [m["text"] for m in api.get("/sessions/s/messages").json()["data"]][1:] == ["Nice to meet you.", "go", WHOLE]
        steps = api.get(f"/runs/{run['id']}/steps").json()["data"]
        assert [step["status"] for step in steps] == ["failed", "completed"]
    assert len(upstream.chats) == 3
    assert upstream.chats[1].body["messages"] == upstream.chats[2].body["messages"]


@pytest.mark.parametrize(
    ("agent", "effect", "outcome"),
    [("default", "read", "tool_completed"), ("reckless", "unsafe", "tool_failed")],
)
def test_a_tool_call_that_was_cut_off_is_made_again_only_if_that_is_safe(
    world, upstream, connect, tmp_path, agent, effect, outcome
):
    upstream.script(calls(("echo__slow", {"steps": 15})), says("done"))
    # one that is there at once, for a call that is made again waits for it no longer than any other
    quick = {"command": sys.executable, "args": ["-S", str(OLDER)], "effects": {"*": "read"}}
    (tmp_path / "servers.yaml").write_text(json.dumps({"mcpServers": {"echo": quick}}))
    world = partial(world, tools=True, AGENTRT_MCP_CONFIG=str(tmp_path / "servers.yaml"))
    with world() as server:
        server.wait_connected()
        run = connect(server).post("/runs", json={"input": "go", "agent": agent}).json()
        seen = killed_while_watched(server, connect, run["id"])
        assert next(one for one in seen if one.type == "tool_started").data["effect"] == effect
    with world() as server:
        rest = story(connect(server), run["id"], seen[-1].id)
    (end,) = [one for one in rest if one.type in ("tool_completed", "tool_failed")]
    assert end.type == outcome and types(rest)[-1] == "run_completed"
    again = [one.data["attempt"] for one in rest if one.type == "tool_started"]
    if effect == "read":
        assert again == [2]
    else:
        assert again == [] and end.data["reason"] == "outcome_unknown"
        told = upstream.chats[1].body["messages"][-1]
        assert told["role"] == "tool" and "was not made again" in told["content"]


def test_no_tool_process_outlives_a_killed_server(world, connect, upstream, left_behind, tmp_path):
    with world(tools=True) as server:
        server.wait_connected()
        mine = f"AGENTRT_DATA_DIR={tmp_path / 'data'}"
        assert len(left_behind(str(tmp_path))) > 1, "the echo server runs"
        server.kill()
        wait_until(lambda: not left_behind(str(tmp_path)))
        assert not left_behind(mine)


def test_a_function_of_the_caller_is_answered_after_a_restart(world, upstream, connect):
    upstream.script(calls(("clock", {}), ("weather", {})), says("Rain."))
    messages: list[Any] = [{"role": "user", "content": "weather?"}]
    with world() as server, openai.OpenAI(base_url=server.url + "/v1", api_key="-") as client:
        asked = client.chat.completions.create(model="default", messages=messages, tools=[WEATHER]).choices[0].message
        server.kill()
    messages += [asked, {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "rain"}]
    with world() as server, openai.OpenAI(base_url=server.url + "/v1", api_key="-") as client:
        answer = client.chat.completions.create(model="default", messages=messages, tools=[WEATHER]).choices[0].message
    assert answer.content == "Rain."
    assert [m["role"] for m in upstream.chats[1].body["messages"]][1:] == ["user", "assistant", "tool", "tool"]


def test_a_cancelled_run_and_a_waiting_one_are_what_they_were(world, upstream, connect):
    upstream.script(breaking_off(), says("first"), says("second"))
    with world() as server:
        api = connect(server)
        running = api.post("/runs", json={"input": "1", "session_id": "s"}).json()
        waiting = api.post("/runs", json={"input": "2", "session_id": "s"}).json()
        given_up = api.post("/runs", json={"input": "3", "session_id": "s"}).json()
        assert api.post(f"/runs/{given_up['id']}/cancel").json()["status"] == "cancelled"
        assert waiting["status"] == "queued"
        upstream.wait_for_chat(1)
        server.kill()
    with world() as server:
        api = connect(server)
        assert types(story(api, waiting["id"]))[-1] == "run_completed"
        status = [api.get(f"/runs/{run['id']}").json()["status"] for run in (running, waiting, given_up)]
        assert status == ["completed", "completed", "cancelled"]
        assert [m["text"] for m in api.get("/sessions/s/messages").json()["data"]] == ["1", "first", "2", "second"]


def test_what_was_acknowledged_in_a_storm_is_there_after_it(world, upstream, connect):
    """Killed during appends: every run that was answered with 202 is there, and ends."""
    accepted: list[str] = []
    with world() as server:
        storm = [threading.Thread(target=start_runs, args=(server, accepted)) for _ in range(4)]
        for thread in storm:
            thread.start()
        wait_until(lambda: len(accepted) > 60)
        server.kill()
        for thread in storm:
            thread.join(30)
    with world() as server:
        api = connect(server)
        for run_id in accepted:
            wait_until(lambda run_id=run_id: api.get(f"/runs/{run_id}").json()["status"] == "completed")
            (text,) = [one.data["text"] for one in story(api, run_id) if one.type == "final_text"]
            assert text == "1, 2, 3"


def start_runs(server, accepted: list[str]) -> None:
    try:
        with httpx2.Client(base_url=server.url, timeout=10) as api:
            while True:
                answer = api.post("/runs", json={"input": "Count from 1 to 3", "agent": "offline"})
                if answer.status_code == 202:
                    accepted.append(answer.json()["id"])
    except httpx2.TransportError:
        return
