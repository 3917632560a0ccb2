"""Models that take what is asked by the Responses API only: OpenAI's chat completions say so, and are heeded."""

import json
from typing import Any

import pytest
from msgspec import Raw

from agentrt.events import CallerTool
from agentrt.messages import Message, Text, Thinking, ToolCall, ToolResult
from agentrt.messages import says as message
from agentrt.providers import ModelAsk
from agentrt.providers.responses_request import request_body
from fixtures.wires import done, failure_of
from upstreams import responses_upstream
from upstreams.openai_upstream import OpenAIUpstream, refuses, says
from upstreams.responses_upstream import ENCRYPTED

pytestmark = pytest.mark.anyio

# word for word
NO_TOOLS = (
    "Function tools with reasoning_effort are not supported for gpt-6-astra in /v1/chat/completions. To use function tools, "
    "use /v1/responses or set reasoning_effort to 'none'."
)
ONLY_THERE = "This model is only supported in v1/responses and not in v1/chat/completions."
HI = message("user", "Hi")
TOOLS = (CallerTool(name="look", parameters={"type": "object", "properties": {}}),)


class BothApis(OpenAIUpstream):
    """OpenAI itself, which answers both."""

    def is_chat(self, request: Any) -> bool:
        return request.path.endswith(("/chat/completions", "/responses"))


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def upstream(start_upstream: Any) -> BothApis:
    return start_upstream(BothApis)


def asks(*messages: Message, model: str = "gpt-6-astra", tools: tuple[CallerTool, ...] = TOOLS) -> ModelAsk:
    return ModelAsk(model=model, messages=messages or (HI,), caller_tools=tools, call_prefix="call_abc")


def paths(upstream: OpenAIUpstream) -> list[str]:
    return [chat.path.removeprefix("/v1") for chat in upstream.chats]


async def test_tools_for_a_model_that_takes_them_by_the_other_api_go_there_and_so_does_all_that_follows(
    acme: Any, upstream: BothApis
) -> None:
    upstream.script(refuses(400, NO_TOOLS), responses_upstream.calls(("look", {})), responses_upstream.says("A tree."))
    async with acme() as client:
        asked = await done(client, asks())
        assert (asked.stop, asked.message.calls[0].name) == ("tool_calls", "look")
        result = Message("tool", (ToolResult(asked.message.calls[0].id, (Text("a tree"),)),))
        assert (await done(client, asks(HI, asked.message, result))).message.text == "A tree."
    assert paths(upstream) == ["/chat/completions", "/responses", "/responses"], "what was learned is remembered"
    thought, call, output = upstream.chats[2].body["input"][1:]
    assert thought["encrypted_content"] == ENCRYPTED, "it keeps its train of thought"
    assert (call["id"], call["call_id"], output["call_id"]) == ("fc_up0", "call_up0", "call_up0")


async def test_a_model_that_is_there_by_the_other_api_only_is_found_there(acme: Any, upstream: BothApis) -> None:
    upstream.script(refuses(404, ONLY_THERE), responses_upstream.says("Hello."))
    async with acme() as client:
        assert (await done(client, asks(model="gpt-5.2-pro", tools=()))).message.text == "Hello."


async def test_a_server_without_the_other_api_is_heard_with_what_it_said_first(acme: Any, upstream: BothApis) -> None:
    upstream.script(refuses(400, NO_TOOLS), refuses(404, "Not Found"))
    async with acme() as client:
        failure = await failure_of(client, asks())
    assert (failure.code, failure.status) == ("invalid_request", 400)
    assert "use /v1/responses" in failure.message


async def test_what_fails_there_is_not_brought_back(acme: Any, upstream: BothApis) -> None:
    upstream.script(refuses(400, NO_TOOLS), refuses(400, "Function tools: use /v1/responses, they say"))
    async with acme() as client:
        assert "they say" in (await failure_of(client, asks())).message
    assert len(upstream.chats) == 2


async def test_what_the_other_api_kept_with_a_call_does_not_spoil_a_chat_completion(acme: Any, upstream: BothApis) -> None:
    upstream.script(refuses(400, NO_TOOLS), responses_upstream.calls(("look", {})), says("A tree."))
    async with acme() as client:
        there = (await done(client, asks())).message
        result = Message("tool", (ToolResult(there.calls[0].id, (Text("a tree"),)),))
        assert (await done(client, asks(HI, there, result, model="gpt-5.5"))).message.text == "A tree."
    said = upstream.chats[2].body["messages"][1]
    call = {"id": there.calls[0].id, "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert said == {"role": "assistant", "content": None, "tool_calls": [call]}


def test_what_chat_completions_kept_does_not_spoil_a_request_to_the_other_api() -> None:
    thought = Thinking("Let me look.", "acme", Raw(b'{"field":"reasoning_content"}'))
    call = ToolCall("call_abc000", "look", "{}", Raw(b'{"extra_content":{"google":{"thought_signature":"c2ln"}}}'), "acme")
    items = json.loads(request_body(asks(HI, Message("assistant", (thought, call))), "acme"))["input"]
    assert items[1:] == [{"type": "function_call", "call_id": "call_abc000", "name": "look", "arguments": "{}"}]
