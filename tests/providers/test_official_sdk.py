"""The official SDK as the oracle: it sends what we send, and reads of an answer what we read."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from agentrt.events import CallerTool
from agentrt.messages import Image, Message, Text, ToolCall, ToolResult
from agentrt.messages import says as message
from agentrt.providers import ModelAsk, ModelFailure
from agentrt.tools import ToolDef
from fixtures.wires import done
from upstreams.openai_upstream import OpenAIUpstream, Reply, calls, refuses, says, streams

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


ASK = ModelAsk(
    model="gpt-4o",
    system=("Be brief.",),
    messages=(
        Message("user", (Text("What is this?"), Image(url="https://example.com/a.png", detail="low"))),
        Message("assistant", (ToolCall("call_1", "echo", '{"text":"a"}'),)),
        Message("tool", (ToolResult("call_1", (Text("a"),)),)),
        message("user", "Go on"),
    ),
    tools=(ToolDef(id="echo", description="Says it again.", schema=SCHEMA),),
    caller_tools=(CallerTool(name="lookup", parameters=SCHEMA, strict=True),),
    parameters={
        "temperature": 0.5,
        "max_tokens": 10,
        "stop": ["x"],
        "tool_choice": "auto",
        "seed": 7,
        "reasoning_effort": "low",
    },
    user="ann",
)
# The same, in the words of the SDK.
SAME: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "echo", "arguments": '{"text":"a"}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "a"},
        {"role": "user", "content": "Go on"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "echo", "description": "Says it again.", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "lookup", "parameters": SCHEMA, "strict": True}},
    ],
    "temperature": 0.5,
    "max_tokens": 10,
    "stop": ["x"],
    "tool_choice": "auto",
    "seed": 7,
    "reasoning_effort": "low",
    "user": "ann",
}


@pytest.fixture
async def sdk(upstream: OpenAIUpstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=upstream.base_url, api_key="sk-verysecret", max_retries=0) as client:
        yield client


async def test_both_send_the_same_request(acme: Any, sdk: openai.AsyncOpenAI, upstream: OpenAIUpstream) -> None:
    async with acme() as client:
        await done(client, ASK)
    async for _ in await sdk.chat.completions.create(**SAME, stream=True, stream_options={"include_usage": True}):
        pass
    ours, theirs = upstream.chats
    assert ours.body == theirs.body
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    assert {name: ours.headers[name] for name in ("authorization", "content-type")} == {
        name: theirs.headers[name] for name in ("authorization", "content-type")
    }


@pytest.mark.parametrize(
    "reply",
    [
        says("Grüße aus 🌍"),
        calls(("echo", {"text": "ä"}), ("lookup", {"text": "b"})),
        streams({"content": "Cut"}, finish="length"),
        streams({"refusal": "I will "}, {"refusal": "not."}),
    ],
    ids=["text", "calls", "length", "refusal"],
)
async def test_both_read_the_same_answer(acme: Any, sdk: openai.AsyncOpenAI, upstream: OpenAIUpstream, reply: Reply) -> None:
    upstream.script(reply, reply)
    async with acme() as client:
        ours = await done(client, ModelAsk(model="gpt-4o", messages=(message("user", "Hi"),)))
    async with sdk.chat.completions.stream(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]) as stream:
        async for _ in stream:
            pass
        theirs = stream.current_completion_snapshot
    choice, usage = theirs.choices[0], theirs.usage
    assert ours.message.text == (choice.message.content or choice.message.refusal or "")
    assert ours.stop == choice.finish_reason
    assert ours.model == theirs.model
    read = [
        (call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    ]
    assert [(call.name, json.loads(call.arguments)) for call in ours.message.calls] == read
    if usage is not None and usage.prompt_tokens_details is not None:
        assert (ours.usage.input, ours.usage.output, ours.usage.cached) == (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.prompt_tokens_details.cached_tokens,
        )


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_request", openai.BadRequestError),
        (401, "authentication", openai.AuthenticationError),
        (403, "permission", openai.PermissionDeniedError),
        (404, "not_found", openai.NotFoundError),
        (422, "invalid_request", openai.UnprocessableEntityError),
        (429, "rate_limit", openai.RateLimitError),
        (500, "server_error", openai.InternalServerError),
        (503, "overloaded", openai.InternalServerError),
    ],
)
async def test_both_tell_failures_apart(
    acme: Any, sdk: openai.AsyncOpenAI, upstream: OpenAIUpstream, status: int, code: str, error: type[openai.APIStatusError]
) -> None:
    upstream.script(refuses(status, "because"), refuses(status, "because"))
    async with acme() as client:
        with pytest.raises(ModelFailure) as ours:
            await done(client, ModelAsk(model="gpt-4o"))
    with pytest.raises(error) as theirs:
        await sdk.chat.completions.create(model="gpt-4o", messages=[], stream=True)
    assert (ours.value.code, ours.value.status) == (code, theirs.value.status_code)
    assert "because" in ours.value.message
