"""What people do with the OpenAI SDK, against the real server."""

import asyncio
import base64
import json
import urllib.request
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest

from upstreams.openai_upstream import calls, says, streams

HI: Any = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()


def fetch(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return json.load(answer)


def test_a_chat_is_answered_and_recorded(client, server, upstream):
    raw = client.chat.completions.with_raw_response.create(model="default", messages=HI)
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello from upstream."
    assert (answer.model, answer.object, answer.choices[0].finish_reason) == ("default", "chat.completion", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18)
    run_id = raw.headers["x-run-id"]
    assert answer.id == "chatcmpl-" + run_id.removeprefix("run_")
    assert float(raw.headers["x-agentrt-overhead-ms"]) >= 0
    assert raw.headers["x-request-id"]
    assert raw.headers["x-session-id"].startswith("sess_")
    run = fetch(f"{server.url}/runs/{run_id}")
    assert (run["status"], run["output"]["text"], run["agent"]) == ("completed", "Hello from upstream.", "default")
    sent = upstream.chats[0].body
    assert sent["messages"][0]["content"].strip() == "You are brief."
    assert "temperature" not in sent


def test_a_stream_is_the_same_answer_in_pieces(client, upstream):
    stream = client.chat.completions.create(model="default", messages=HI, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello from upstream."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(c.choices[0].delta.role is None for c in chunks[1:] if c.choices)
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 18)
    assert chunks[-1].model_extra["agentrt"]["run_id"].startswith("run_")


def test_the_asynchronous_client_streams_too(server):
    async def ask():
        async with (
            openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="whatever", max_retries=0) as client,
            client.chat.completions.stream(model="default", messages=HI) as stream,
        ):
            return await stream.get_final_completion()

    assert asyncio.run(ask()).choices[0].message.content == "Hello from upstream."


def test_a_stream_is_one_well_formed_event_stream(server):
    with httpx2.stream(
        "POST", server.url + "/v1/chat/completions", json={"model": "default", "messages": HI, "stream": True}
    ) as got:
        assert got.headers["content-type"].startswith("text/event-stream")
        assert got.headers["cache-control"] == "no-cache, no-transform"
        assert got.headers["x-run-id"].startswith("run_")
        lines = [line for line in got.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


def test_the_agents_own_tools_stay_inside_one_answer(client, upstream):
    upstream.script(
        streams(
            {"content": "Let me look."},
            {"tool_calls": [{"index": 0, "id": "x", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]},
            finish="tool_calls",
        ),
        says("It is late."),
    )
    chunks = list(client.chat.completions.create(model="default", messages=HI, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Let me look.\n\nIt is late."
    assert not any(c.choices[0].delta.tool_calls for c in chunks)
    assert len(upstream.chats) == 2
    assert upstream.chats[1].body["messages"][-1]["role"] == "tool"


def test_progress_is_told_on_request_in_chunks_that_the_sdk_reads(client, upstream):
    upstream.script(calls(("clock", {})), says("Late."))
    chunks = list(
        client.chat.completions.create(model="default", messages=HI, stream=True, extra_headers={"X-Agentrt-Events": "true"})
    )
    told = [c.model_extra["agentrt"] for c in chunks if not c.choices]
    kinds = [t["type"] for t in told]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_completed"
    assert kinds.index("tool_started") < kinds.index("tool_completed") < kinds.index("final_text")
    assert all({"seq", "run_id", "at"} <= set(t) for t in told)
    assert "You are brief" not in json.dumps(told)


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_of_the_caller_is_called_and_its_answer_leads_back(client, upstream, stream):
    upstream.script(calls(("clock", {})), calls(("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})), says("Sunny."))
    if stream:
        with client.chat.completions.stream(model="default", messages=HI, tools=[WEATHER]) as live:
            first = live.get_final_completion()
    else:
        first = client.chat.completions.create(model="default", messages=HI, tools=[WEATHER])
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    wanted = choice.message.tool_calls
    assert [(c.function.name, json.loads(c.function.arguments)["city"]) for c in wanted] == [
        ("weather", "Rome"),
        ("weather", "Oslo"),
    ]
    assert all(c.id.startswith("call_" + first.id.removeprefix("chatcmpl-")) and len(c.id) <= 40 for c in wanted)
    assert [tool["function"]["name"] for tool in upstream.chats[0].body["tools"]][-1] == "weather"

    results = [{"role": "tool", "tool_call_id": c.id, "content": f"{n}°"} for n, c in enumerate(wanted)]
    echoed = choice.message.model_dump(exclude={"parsed"})
    for call in echoed["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
    second = client.chat.completions.create(model="default", messages=[*HI, echoed, *results], tools=[WEATHER])
    assert second.choices[0].message.content == "Sunny."
    roles = [m["role"] for m in upstream.chats[2].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool", "tool"], "our own tool's call is still there"


def test_answers_alone_lead_back_too(client, upstream):
    upstream.script(calls(("weather", {"city": "Rome"})), says("Sunny."))
    first = client.chat.completions.create(model="default", messages=HI, tools=[WEATHER])
    [call] = first.choices[0].message.tool_calls
    answer: Any = [{"role": "tool", "tool_call_id": call.id, "content": "20°"}]
    second = client.chat.completions.create(model="default", messages=answer, tools=[WEATHER])
    assert second.choices[0].message.content == "Sunny."
    assert [m["role"] for m in upstream.chats[1].body["messages"]] == ["system", "user", "assistant", "tool"]


def test_parameters_go_to_the_provider(client, upstream):
    upstream.script(says('{"fine": true}'))
    client.chat.completions.create(
        model="default",
        messages=HI,
        temperature=0.5,
        max_completion_tokens=9,
        stop=["x"],
        seed=3,
        logit_bias={"5": 1},
        user="ada",
        response_format={"type": "json_object"},
        metadata={"a": "b"},
    )
    sent = upstream.chats[0].body
    wanted = {"temperature": 0.5, "max_tokens": 9, "stop": ["x"], "seed": 3, "logit_bias": {"5": 1}, "user": "ada"}
    assert wanted.items() <= sent.items()
    assert sent["response_format"] == {"type": "json_object"}


def test_what_is_dropped_is_said_in_the_answer_and_in_the_run(client, server):
    raw = client.chat.completions.with_raw_response.create(model="helper", messages=HI, seed=3, presence_penalty=1)
    assert raw.headers["x-agentrt-ignored"] == "presence_penalty, seed"
    with httpx2.stream("GET", f"{server.url}/runs/{raw.headers['x-run-id']}/events") as events:
        started = next(json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: "))
    assert started["ignored"] == ["presence_penalty", "seed"]


def test_what_an_agent_locks_a_caller_cannot_change(client, upstream):
    raw = client.chat.completions.with_raw_response.create(model="fixed:local-model", messages=HI, temperature=2)
    assert raw.headers["x-agentrt-ignored"] == "model, temperature"
    assert (upstream.chats[0].body["temperature"], upstream.chats[0].body["model"]) == (0.25, "gpt-4o-mini")


def test_an_agent_moves_the_line_between_dropping_and_refusing(client):
    raw = client.chat.completions.with_raw_response.create(
        model="loose",
        messages=HI,
        n=2,
        logprobs=True,
        extra_body={"top_k": 3},
        tool_choice={"type": "function", "function": {"name": "x"}},
    )
    assert set(raw.headers["x-agentrt-ignored"].split(", ")) == {"n", "logprobs", "top_k", "tool_choice"}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="picky", messages=HI, seed=1)
    assert (caught.value.param, caught.value.code) == ("seed", "unsupported_parameter")


def test_a_pass_through_has_no_prompt_and_forwards_what_nobody_knows(client, upstream):
    raw = client.chat.completions.with_raw_response.create(model="openai/local-model", messages=HI, extra_body={"top_k": 3})
    assert raw.parse().model == "openai/local-model"
    sent = upstream.chats[0].body
    assert (sent["model"], sent["top_k"], [m["role"] for m in sent["messages"]]) == ("local-model", 3, ["user"])
    assert "tools" not in sent


def test_a_bare_model_is_the_default_agent_with_that_model(client, upstream):
    client.chat.completions.create(model="local-model", messages=HI)
    client.chat.completions.create(model="helper:local-model", messages=HI)
    assert [r.body["model"] for r in upstream.chats] == ["local-model", "local-model"]
    assert upstream.chats[0].body["messages"][0]["role"] == "system"


def test_images_reach_the_model(client, upstream):
    url = f"data:image/png;base64,{PIXEL}"
    content: Any = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
    client.chat.completions.create(model="default", messages=[{"role": "user", "content": content}])
    assert upstream.chats[0].body["messages"][-1]["content"] == content


def test_reasoning_comes_beside_the_answer(client, upstream):
    upstream.script(
        streams({"reasoning_content": "hm"}, {"content": "4"}), streams({"reasoning_content": "hm"}, {"content": "4"})
    )
    whole = client.chat.completions.create(model="default", messages=HI).choices[0].message
    assert (whole.content, whole.model_extra["reasoning_content"]) == ("4", "hm")
    pieces = [c.choices[0].delta.model_extra for c in client.chat.completions.create(model="default", messages=HI, stream=True)]
    assert "".join(p.get("reasoning_content", "") for p in pieces) == "hm"


def test_a_session_by_header_continues_where_it_was(client, upstream):
    for text in ("one", "two"):
        raw = client.chat.completions.with_raw_response.create(
            model="default", messages=[{"role": "user", "content": text}], extra_headers={"X-Session-Id": "journey-1"}
        )
        assert raw.headers["x-session-id"] == "journey-1"
    said = [m["content"] for m in upstream.chats[1].body["messages"][1:]]
    assert said == ["one", "Hello from upstream.", "two"]


def test_a_session_by_user_where_the_agent_says_so(client, upstream):
    for model in ("remembers", "default"):
        for text in ("one", "two"):
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], user="ada")
    assert [len([m for m in r.body["messages"] if m["role"] != "system"]) for r in upstream.chats] == [1, 3, 1, 1]


def test_the_same_key_gives_the_same_answer_and_one_run(client, upstream):
    key = {"Idempotency-Key": "once"}
    first = client.chat.completions.with_raw_response.create(model="default", messages=HI, extra_headers=key)
    again = client.chat.completions.with_raw_response.create(model="default", messages=HI, extra_headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.parse() == first.parse()
    assert len(upstream.chats) == 1
    with pytest.raises(openai.ConflictError):
        client.chat.completions.create(model="default", messages=[{"role": "user", "content": "else"}], extra_headers=key)


def test_the_models_are_agents_first_and_then_what_the_providers_have(client):
    listed = list(client.models.list())
    names = [m.id for m in listed]
    assert names[:7] == sorted(names[:7])
    assert {"default", "helper"} <= set(names[:7])
    assert {"offline/offline", "openai/local-model"} <= set(names[7:])
    helper = next(m for m in listed if m.id == "helper")
    assert helper.owned_by == "agentrt"
    note = helper.model_extra["agentrt"]
    assert (note["description"], note["provider"], note["model"]) == ("Works without a key.", "offline", "offline")


@pytest.mark.parametrize("name", ["default", "h", "helper:local-model", "local-model", "openai/local-model", "offline/offline"])
def test_any_name_that_a_chat_takes_can_be_looked_up(client, name):
    assert client.models.retrieve(name).id == name


def test_the_schema_tells_the_whole_route(server):
    schema = fetch(server.url + "/schema/openapi.json")
    operation = schema["paths"]["/v1/chat/completions"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert {"model", "messages", "stream", "tools", "reasoning_effort"} <= set(body["properties"])
    assert body["required"] == ["model", "messages"]
    assert set(operation["responses"]) >= {"200", "400", "404", "409", "413", "415", "429", "500", "502", "503", "504"}
    assert all("application/json" in answer["content"] for answer in operation["responses"].values())
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "/v1/models" in schema["paths"]


def test_the_offline_agent_answers_what_people_type_first(client):
    answer = client.chat.completions.create(model="helper", messages=[{"role": "user", "content": "What is 2 + 2 * 3?"}])
    assert "8" in answer.choices[0].message.content


def test_a_connection_serves_again_where_the_end_of_the_stream_comes_apart_from_its_last_event(client, upstream):
    whole, before = says("Hello."), upstream.connections
    upstream.script(*[replace(whole, frames=[*whole.frames, 0.02]) for _ in range(8)])
    for _ in range(8):
        client.chat.completions.create(model="default", messages=HI)
    assert upstream.connections - before <= 4  # what comes late on a busy machine is hung up on
