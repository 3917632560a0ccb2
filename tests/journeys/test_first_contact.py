"""A new user, without a key, with what is shipped."""

import asyncio
import json
from typing import Any

import openai
import pytest

from fixtures.watching import story, text_of, types


@pytest.fixture
def api(shipped, connect):
    return connect(shipped)


@pytest.fixture
def client(shipped):
    with openai.OpenAI(base_url=shipped.url + "/v1", api_key="anything", max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("typed", "answered"),
    [
        ("Use the echo tool to say: Hello", "Hello"),
        ("Echo: test", "test"),
        ("Say hello!", "Hello! I am the offline model"),
        ("Count from 1 to 3", "1, 2, 3"),
        ("Execute this Python code: print(2 + 2)", "4"),
    ],
)
def test_what_people_type_first_is_answered_over_both_surfaces(api, client, typed, answered):
    run = api.post("/runs?wait=30", json={"mode": "interactive", "input": typed}).json()
    assert run["status"] == "completed" and answered in run["output"]["text"]
    chat = client.chat.completions.create(model="agent", messages=[{"role": "user", "content": typed}])
    assert chat.choices[0].message.content == run["output"]["text"]


def test_a_run_is_started_watched_and_read_again(api):
    answer = api.post("/runs", json={"mode": "interactive", "input": "Use the echo tool to say: Hello"})
    assert answer.status_code == 202
    run = answer.json()
    assert answer.headers["location"] == f"/runs/{run['id']}" and answer.headers["x-run-id"] == run["id"]
    events = story(api, run["id"])
    assert types(events) == [
        "run_started", "model_started", "model_completed", "tool_started", "tool_completed",
        "model_started", "text_delta", "model_completed", "final_text", "run_completed",
    ]  # fmt: skip
    assert all({"seq", "type", "run_id", "at"} <= event.data.keys() for event in events)
    assert [event.data["type"] for event in events] == [event.type for event in events]
    ended = api.get(f"/runs/{run['id']}").json()
    assert ended["output"] == {"text": text_of(events)} and ended["finish_reason"] == "stop"
    steps = api.get(f"/runs/{run['id']}/steps").json()["data"]
    assert [(step["type"], step["name"]) for step in steps] == [
        ("model", "offline"),
        ("tool", "echo__echo"),
        ("model", "offline"),
    ]
    assert all(step["duration_ms"] > 0 and step["ended_at"] for step in steps)


def test_a_bare_start_has_every_field_of_a_run(api):
    run = api.post("/runs?wait=30", json={"mode": "interactive", "input": "Say hello!"}).json()
    assert list(run) == [
        "id", "object", "status", "mode", "agent", "agent_version", "model", "provider", "session_id", "parent_run_id", "input",
        "output", "usage", "cost_usd", "error", "finish_reason", "metadata", "created_at", "started_at", "ended_at",
    ]  # fmt: skip
    assert run["created_at"].endswith("Z") and run["agent"] == "default"


def test_the_events_come_as_the_answer_to_the_start_where_that_is_asked(api):
    body = {"input": "Count from 1 to 3", "stream": True}
    with api.stream("POST", "/runs", json=body) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        assert "no-transform" in answer.headers["cache-control"] and answer.headers["x-accel-buffering"] == "no"
        lines = list(answer.iter_lines())
    assert lines[0] == "retry: 2000"
    assert "event: run_completed" in lines


def test_tool_progress_is_seen_while_the_tool_runs(api):
    typed = 'use slow with {"seconds": 0.2, "steps": 2}'
    run = api.post("/runs", json={"input": typed}).json()
    events = story(api, run["id"])
    assert types(events)[3:7] == ["tool_started", "tool_stdout", "tool_stdout", "tool_completed"]
    assert "step 1 of 2" in json.dumps(events[4].data)


def test_the_sdk_streams_and_counts(client):
    chunks = list(
        client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Count from 1 to 3"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "1, 2, 3"
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens > 0
    assert len({c.id for c in chunks}) == 1


def test_many_ask_at_once_through_the_asynchronous_sdk(shipped):
    async def main() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=shipped.url + "/v1", api_key="-", max_retries=0) as client:
            asked = [
                client.chat.completions.create(model="agent", messages=[{"role": "user", "content": f"Echo: number {i}"}])
                for i in range(12)
            ]
            return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

    assert asyncio.run(main()) == [f"The echo tool answered: number {i}" for i in range(12)]


def test_the_choice_of_the_offline_model_is_visible_everywhere(api, client, shipped):
    health = api.get("/health").json()
    assert health["status"] == "healthy" and health["service"] == "agentrt"
    assert health["default_agent"]["model"] == "offline/offline"
    assert any("OPENAI_API_KEY" in reason for reason in health["default_agent"]["skipped"])
    assert {"mcp_server_connected", "client_initialized", "version", "modules"} <= health.keys()
    card = api.get("/v1/models/default").json()
    assert card["agentrt"]["provider"] == "offline" and card["agentrt"]["aliases"] == ["agent"]
    assert [model.id for model in client.models.list()][:3] == ["default", "code-executor", "offline/offline"]
    assert "uses offline/offline: no provider is configured" in shipped.log
    assert "curl http://127.0.0.1" in shipped.log and f"listens on {shipped.url}" in shipped.log


def test_the_tool_servers_are_listed_with_their_tools(api):
    listed = api.get("/mcp-servers").json()
    assert [(s["name"], s["state"], s["tools"]) for s in listed["data"]] == [
        ("echo", "connected", ["echo__echo", "echo__add", "echo__slow"])
    ]


def test_the_index_leads_to_pages_that_are_there(api):
    links = api.get("/").json()["links"]
    assert {api.get(link).status_code for name, link in links.items() if name != "chat"} == {200}


def test_every_answer_has_a_request_id_and_says_what_was_ours(api):
    for path in ("/health", "/v1/models", "/nothing", "/v1/nothing"):
        answer = api.get(path)
        assert answer.headers["x-request-id"].startswith("req_") and float(answer.headers["x-agentrt-overhead-ms"]) >= 0
    assert api.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
