"""A provider of OpenAI's dialect that reasons, and goes on after a tool's result only if it gets its reasoning back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from upstreams.openai_upstream import OpenAIUpstream, Reply, Request, refuses, says, streams

AGENT = "name: deep\nmodel: deepseek/deepseek-chat\ntools: ['echo__echo']\nretry: {attempts: 1}\n"
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
HI: Any = {"role": "user", "content": "Hi"}


def calls(name: str, arguments: str) -> Reply:
    function = {"name": name, "arguments": arguments}
    call = {"index": 0, "id": "call_theirs", "type": "function", "function": function}
    return streams(
        {"reasoning_content": "I need "}, {"reasoning_content": "a tool. 🌍"}, {"tool_calls": [call]}, finish="tool_calls"
    )


def demanding(request: Request) -> Reply | None:
    """As DeepSeek does it."""
    for index, said in enumerate((request.body or {}).get("messages", ())):
        if said.get("tool_calls") and "reasoning_content" not in said:
            return refuses(400, f"Missing `reasoning_content` field in the assistant message at message index {index}.")
    return None


@pytest.fixture
def deepseek(start_upstream: Any) -> OpenAIUpstream:
    made: OpenAIUpstream = start_upstream(OpenAIUpstream)
    made.answer = demanding
    return made


@pytest.fixture
def client(serve: Any, tmp_path: Path, deepseek: OpenAIUpstream) -> Iterator[openai.OpenAI]:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "deep.yaml").write_text(AGENT)
    settings = {"providers": {"deepseek": {"base_url": deepseek.base_url, "api_key": "sk-journeys"}}}
    (tmp_path / "agentrt.yaml").write_text(json.dumps(settings))
    with (
        serve(AGENTRT_CONFIG=str(tmp_path / "agents")) as server,
        openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client,
    ):
        server.wait_connected()
        yield client


def thoughts(request: Request) -> list[str | None]:
    return [said.get("reasoning_content") for said in request.body["messages"] if said["role"] == "assistant"]


def test_an_agents_tool_is_called_and_the_reasoning_goes_back_in_every_turn(
    client: openai.OpenAI, deepseek: OpenAIUpstream
) -> None:
    deepseek.script(calls("echo__echo", '{"message": "a"}'), streams({"reasoning_content": "So."}, {"content": "It says a."}))
    session: Any = {"extra_headers": {"X-Session-Id": "deep"}}
    answer = client.chat.completions.create(model="deep", messages=[HI], **session)
    assert answer.choices[0].message.content == "It says a."
    client.chat.completions.create(model="deep", messages=[HI | {"content": "And now?"}], **session)
    assert [thoughts(chat) for chat in deepseek.chats] == [[], ["I need a tool. 🌍"], ["I need a tool. 🌍", "So."]]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_callers_tool_needs_no_reasoning_from_the_caller(client: openai.OpenAI, deepseek: OpenAIUpstream, stream: bool) -> None:
    deepseek.script(calls("look", "{}"), says("A tree."))
    asked = client.chat.completions.create(model="deepseek/deepseek-chat", messages=[HI], tools=[LOOK])
    calls_made = asked.choices[0].message.tool_calls
    assert calls_made
    call = calls_made[0]
    said: Any = {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "a tree"}
    answer: Any = client.chat.completions.create(
        model="deepseek/deepseek-chat", messages=[HI, said, result], tools=[LOOK], stream=stream
    )
    pieces = [chunk.choices[0].delta.content for chunk in answer] if stream else [answer.choices[0].message.content]
    assert "".join(piece or "" for piece in pieces) == "A tree."
    assert thoughts(deepseek.chats[-1]) == ["I need a tool. 🌍"]


def test_what_another_model_called_is_no_obstacle(client: openai.OpenAI, deepseek: OpenAIUpstream) -> None:
    deepseek.script(says("A tree."))
    call = {"id": "call_of_another", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    said: Any = {"role": "assistant", "content": None, "tool_calls": [call]}
    result: Any = {"role": "tool", "tool_call_id": "call_of_another", "content": "a tree"}
    answer = client.chat.completions.create(model="deepseek/deepseek-chat", messages=[HI, said, result], tools=[LOOK])
    assert answer.choices[0].message.content == "A tree."
    assert [thoughts(chat) for chat in deepseek.chats] == [[None], [""]]


def test_a_call_without_arguments_is_json_on_a_stream_too(client: openai.OpenAI, deepseek: OpenAIUpstream) -> None:
    deepseek.script(calls("look", ""))
    stream = client.chat.completions.create(model="deepseek/deepseek-chat", messages=[HI], tools=[LOOK], stream=True)
    pieces = [call.function for chunk in stream for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert json.loads("".join((piece and piece.arguments) or "" for piece in pieces)) == {}


def test_a_call_that_was_cut_says_so(client: openai.OpenAI, deepseek: OpenAIUpstream) -> None:
    function = {"name": "look", "arguments": '{"where": "he'}
    deepseek.script(streams({"tool_calls": [{"index": 0, "id": "a", "function": function}]}, finish="length"))
    answer = client.chat.completions.create(model="deepseek/deepseek-chat", messages=[HI], tools=[LOOK])
    assert answer.choices[0].finish_reason == "length"
