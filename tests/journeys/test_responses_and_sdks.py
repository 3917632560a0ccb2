"""OpenAI's Responses API behind the chat surface, and the official SDKs as carriers of what the server asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from upstreams import anthropic_upstream, openai_upstream
from upstreams.anthropic_upstream import AnthropicUpstream
from upstreams.openai_upstream import OpenAIUpstream
from upstreams.responses_upstream import ResponsesUpstream, call, message, reasoning, says, streams

SUM = ("calculator", {"expression": "2+2"})
SESSION = {"extra_headers": {"X-Session-Id": "long"}}


@pytest.fixture
def connect(serve: Any) -> Any:
    @contextmanager
    def start(**env: str) -> Iterator[openai.OpenAI]:
        with serve(**env) as server, openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
            yield client

    return start


def streamed(client: openai.OpenAI, said: str = "What is 2+2?", **more: Any) -> tuple[str, str, list[str]]:
    """Text, reasoning and reasons to end of a streamed chat."""
    stream = client.chat.completions.create(model="default", messages=[{"role": "user", "content": said}], stream=True, **more)
    answer, thought, reasons = "", "", []
    for chunk in stream:
        for choice in chunk.choices:
            answer += choice.delta.content or ""
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
    return answer, thought, reasons


def test_reasoning_and_calls_go_back_to_the_responses_api_as_they_came(connect: Any, start_upstream: Any) -> None:
    upstream = start_upstream(ResponsesUpstream)
    thought, asked = reasoning("I need a tool. 🌍"), call(1, "calculator", SUM[1])
    answer = message("It is 4.", phase="final_answer")
    upstream.script(streams(thought, asked), streams(answer), says("Yes."))
    env = {
        "OPENAI_API_KEY": "sk-journeys",
        "OPENAI_BASE_URL": upstream.base_url,
        "AGENTRT_PROVIDERS__OPENAI__WIRE": "openai_responses",
    }
    with connect(**env) as client:
        assert streamed(client, **SESSION) == ("It is 4.", "I need a tool. 🌍", ["stop"])
    with connect(**env) as client:
        assert streamed(client, "Are you sure?", **SESSION)[0] == "Yes."
    first, second, third = (chat.body for chat in upstream.chats)
    assert (first["store"], first["include"]) == (False, ["reasoning.encrypted_content"])
    assert second["input"][: len(first["input"])] == first["input"]
    *_, reasoned, called, gave = second["input"]
    assert (reasoned, called) == (thought, asked)
    assert (gave["type"], gave["call_id"]) == ("function_call_output", asked["call_id"])
    assert "4" in str(gave["output"])
    assert third["input"][: len(second["input"])] == second["input"]
    said = third["input"][len(second["input"])]
    assert (said["id"], said["phase"], said["content"][0]["text"]) == (answer["id"], "final_answer", "It is 4.")
    assert (third["instructions"], third["tools"]) == (first["instructions"], first["tools"])


def test_what_the_responses_api_has_no_place_for_is_said(connect: Any, start_upstream: Any) -> None:
    upstream = start_upstream(ResponsesUpstream)
    env = {
        "OPENAI_API_KEY": "sk-journeys",
        "OPENAI_BASE_URL": upstream.base_url,
        "AGENTRT_PROVIDERS__OPENAI__WIRE": "openai_responses",
    }
    with connect(**env) as client:
        asked: Any = {"model": "openai/gpt-5.5", "messages": [{"role": "user", "content": "Hi"}]}
        with pytest.raises(openai.BadRequestError, match=r"openai/gpt-5\.5 takes no stop texts") as refused:
            client.chat.completions.create(**asked, stop="END")
        assert refused.value.param == "stop"
        raw = client.chat.completions.with_raw_response.create(**asked, seed=7, extra_body={"truncation": "auto"})
    assert raw.headers["x-agentrt-ignored"] == "seed"
    (chat,) = upstream.chats
    assert ("seed" in chat.body, chat.body["truncation"]) == (False, "auto")


def test_openais_sdk_carries_a_streamed_turn_with_a_tool(connect: Any, start_upstream: Any) -> None:
    upstream: OpenAIUpstream = start_upstream(OpenAIUpstream)
    upstream.script(openai_upstream.calls(SUM), openai_upstream.says("It is 4. 🌍"))
    env = {"OPENAI_API_KEY": "sk-journeys", "OPENAI_BASE_URL": upstream.base_url, "AGENTRT_PROVIDERS__OPENAI__CLIENT": "sdk"}
    with connect(**env) as client:
        assert streamed(client) == ("It is 4. 🌍", "", ["stop"])
    assert [chat.headers["user-agent"].split("/")[0] for chat in upstream.chats] == ["AsyncOpenAI"] * 2
    assert upstream.chats[1].body["messages"][-1]["role"] == "tool"


def test_anthropics_sdk_carries_a_streamed_turn_with_a_tool(connect: Any, start_upstream: Any) -> None:
    upstream: AnthropicUpstream = start_upstream(AnthropicUpstream)
    upstream.script(anthropic_upstream.calls(SUM), anthropic_upstream.says("It is 4. 🌍"))
    env = {
        "ANTHROPIC_API_KEY": "sk-ant-journeys",
        "ANTHROPIC_BASE_URL": upstream.base_url,
        "AGENTRT_PROVIDERS__ANTHROPIC__WIRE": "anthropic",
        "AGENTRT_PROVIDERS__ANTHROPIC__CLIENT": "sdk",
    }
    with connect(**env) as client:
        answer, thought, reasons = streamed(client)
    assert (answer, thought, reasons) == ("It is 4. 🌍", "I need a tool.", ["stop"])
    assert [chat.headers["user-agent"].split("/")[0] for chat in upstream.chats] == ["AsyncAnthropic"] * 2
    assert upstream.chats[1].body["messages"][1]["content"][0]["signature"] == anthropic_upstream.SIGNATURE


def test_an_sdk_that_loses_its_provider_in_mid_answer_says_so(connect: Any, start_upstream: Any) -> None:
    upstream: OpenAIUpstream = start_upstream(OpenAIUpstream)
    upstream.default = openai_upstream.says("Half an answer", end="cut")
    env = {"OPENAI_API_KEY": "sk-journeys", "OPENAI_BASE_URL": upstream.base_url, "AGENTRT_PROVIDERS__OPENAI__CLIENT": "sdk"}
    with connect(**env) as client, pytest.raises(openai.APIError, match="connection was closed"):
        streamed(client)
