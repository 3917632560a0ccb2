"""SIGTERM: quick when nothing runs, orderly when something does."""

import json
import threading

import httpx2
import pytest

from fixtures.watching import story, text_of, types, watching
from upstreams.openai_upstream import Gate, Reply, chunk, event, says, wait_until

CHAT = {"model": "default", "messages": [{"role": "user", "content": "go"}]}


@pytest.fixture
def world(serve, provider, upstream, configured, tmp_path):
    env = configured(provider, tmp_path)

    def start(**more: str):
        return serve(**env, **more)

    return start


def endless(door: Gate) -> Reply:
    return Reply([event(chunk({"content": "begun"})), door])


@pytest.mark.parametrize("tools", ["true", "false"])
def test_an_idle_server_leaves_at_once(world, connect, tools):
    with world(AGENTRT_MODULES__MCP_REGISTRY=tools, AGENTRT_SHUTDOWN_GRACE_S="600") as server:
        api = connect(server)
        run = api.post("/runs?wait=30", json={"input": "Echo: x", "agent": "offline"}).json()
        assert run["status"] == "completed"
        assert server.terminate() == 0
        assert "Traceback" not in server.log


def test_streams_are_ended_with_a_word_and_the_runs_go_on_at_the_next_start(world, connect, upstream):
    doors = [Gate(), Gate()]
    upstream.script(*[endless(door) for door in doors], says("whole"), says("whole"))
    settings = {"AGENTRT_MODULES__MCP_REGISTRY": "false", "AGENTRT_SHUTDOWN_GRACE_S": "0.3"}
    seen: list = []
    chat: list[str] = []
    with world(**settings) as server:
        api = connect(server)
        run = api.post("/runs", json={"input": "go"}).json()

        def watch() -> None:
            with watching(connect(server), run["id"]) as events:
                for one in events:
                    seen.append(one)

        def talk() -> None:
            with httpx2.stream("POST", f"{server.url}/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
                chat.append(answer.headers["x-run-id"])
                for line in answer.iter_lines():
                    chat.append(line)

        readers = [threading.Thread(target=target) for target in (watch, talk)]
        for reader in readers:
            reader.start()
        wait_until(lambda: text_of(seen) == "begun" and any("begun" in line for line in chat))
        assert server.terminate() == 0
        for reader in readers:
            reader.join(30)
        assert "Traceback" not in server.log
    assert seen[-1].type == "reconnect" and text_of(seen) == "begun"
    other, *lines = chat
    data = [line for line in lines if line.startswith("data: ")]
    assert json.loads(data[-1][6:])["error"]["code"] == "server_shutting_down"
    with world(**settings) as server:
        api = connect(server)
        rest = story(api, run["id"], seen[-1].id)
        assert types(rest)[-1] == "run_completed" and text_of(seen + rest) == "whole"
        assert types(story(api, other))[-1] == "run_completed", "a stream that the server ended is no hang-up"


def test_a_step_in_flight_reaches_its_outcome_within_the_grace_period(world, connect, upstream):
    door = Gate()
    whole = says("finished in time").frames
    upstream.script(Reply([*whole[:2], door, *whole[2:]]))
    with world(AGENTRT_MODULES__MCP_REGISTRY="false") as server:
        api = connect(server)
        run = api.post("/runs", json={"input": "go"}).json()
        assert door.reached.wait(30)
        ending: list[int] = []
        thread = threading.Thread(target=lambda: ending.append(server.terminate()))
        thread.start()
        with httpx2.Client(base_url=server.url, timeout=50) as late:
            for _ in range(500):
                try:
                    refused = late.post("/runs", json={"input": "too late"})
                except httpx2.TransportError:
                    break
                if refused.status_code == 503:
                    assert refused.json()["code"] == "server_shutting_down" and refused.headers["retry-after"]
                    break
        door.open()
        thread.join(30)
        assert ending == [0]
    with world(AGENTRT_MODULES__MCP_REGISTRY="false") as server:
        events = story(connect(server), run["id"])
        ended = connect(server).get(f"/runs/{run['id']}").json()
    assert ended["output"]["text"] == "finished in time"
    assert "model_failed" not in types(events) and len(upstream.chats) == 1
