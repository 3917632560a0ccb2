"""The official SDK as the oracle: it knows what we send, and reads of an answer what we read."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic import types
from anthropic.types import message_create_params
from pydantic import TypeAdapter

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult
from agentrt.messages import says as message
from agentrt.providers import ModelAsk, ModelClient, ModelFailure
from agentrt.providers.anthropic_request import request_body
from agentrt.tools import ToolDef
from fixtures.wires import done
from upstreams.anthropic_upstream import (
    MODEL,
    SIGNATURE,
    AnthropicUpstream,
    calls,
    redacted,
    refuses,
    says,
    streams,
    text,
    thinking,
    tool_use,
)
from upstreams.http_upstream import Reply

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
KEPT = msgspec.Raw(msgspec.json.encode({"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}))
ASK = ModelAsk(
    model="claude-sonnet-4-6",
    system=("Be brief.", "Today is Monday."),
    messages=(
        Message(
            "user",
            (
                Text("What is this?"),
                Image(url="https://example.com/a.png"),
                Image(url="data:image/png;base64,AA=="),
                File(data="data:application/pdf;base64,AA==", name="a.pdf"),
            ),
        ),
        Message("assistant", (Thinking("Hm.", "acme", KEPT), ToolCall("call_1", "echo", '{"text":"a"}'))),
        Message("tool", (ToolResult("call_1", (Text("a"), Image(url="data:image/png;base64,AA=="))),)),
        message("user", "Go on"),
    ),
    tools=(ToolDef(id="echo", description="Says it again.", schema=SCHEMA),),
    caller_tools=(CallerTool(name="lookup", parameters=SCHEMA, strict=True),),
    parameters={
        "max_tokens": 4000,
        "stop": ["x"],
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "service_tier": "default",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    },
    user="ann",
)


@pytest.fixture
def wire() -> str:
    return "anthropic"


@pytest.fixture
async def sdk(upstream: AnthropicUpstream) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=upstream.base_url, api_key="sk-verysecret", max_retries=0) as client:
        yield client


def test_the_sdks_types_know_everything_that_is_sent() -> None:
    body = json.loads(request_body(ASK, "acme"))
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    known = message_create_params.MessageCreateParamsStreaming
    TypeAdapter(known).validate_python(body, extra="forbid")
    # What is iterable there is only looked at as it is read.
    kinds: dict[str, Any] = {"messages": types.MessageParam, "tools": types.ToolUnionParam, "system": types.TextBlockParam}
    for name, kind in kinds.items():
        for one in body[name]:
            TypeAdapter(kind).validate_python(one, extra="forbid")
    for turn in body["messages"]:
        TypeAdapter(list[types.ContentBlockParam]).validate_python(turn["content"], extra="forbid")


async def test_the_sdk_sends_the_same_request(
    ours: ModelClient, sdk: anthropic.AsyncAnthropic, upstream: AnthropicUpstream
) -> None:
    await done(ours, ASK)
    sent = json.loads(request_body(ASK, "acme"))
    async for _ in await sdk.messages.create(**sent):
        pass
    our, their = upstream.chats
    assert our.body == their.body == sent
    assert (our.method, our.path) == (their.method, their.path)


@pytest.mark.parametrize(
    "reply",
    [
        says("Grüße aus 🌍"),
        calls(("echo", {"text": "ä"}), ("lookup", {"text": "b"})),
        streams(thinking(0, "Let me", " see."), redacted(1), text(2, "Cut"), reason="max_tokens"),
        streams(text(0, "I look."), tool_use(1, "web_search", {"query": "a"}, kind="server_tool_use"), text(2, "Found.")),
        streams(text(0, "No."), reason="refusal"),
    ],
    ids=["text", "calls", "thinking", "server tool", "refusal"],
)
async def test_both_read_the_same_answer(
    ours: ModelClient, sdk: anthropic.AsyncAnthropic, upstream: AnthropicUpstream, reply: Reply
) -> None:
    upstream.script(reply, reply)
    read = await done(ours, ModelAsk(model=MODEL, messages=(message("user", "Hi"),), call_prefix="call_"))
    async with sdk.messages.stream(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
        theirs = await stream.get_final_message()
    blocks = [block.to_dict() for block in theirs.content]
    assert [as_block(part) for part in read.message.parts] == blocks
    stops = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
    assert (read.stop, read.model) == (stops[theirs.stop_reason or ""], theirs.model)
    spent = theirs.usage
    cached, written = spent.cache_read_input_tokens or 0, spent.cache_creation_input_tokens or 0
    assert (read.usage.input, read.usage.output) == (spent.input_tokens + cached + written, spent.output_tokens)
    assert (read.usage.cached, read.usage.cache_write) == (cached, written)


def as_block(part: Any) -> dict[str, Any]:
    match part:
        case Text(text=said):
            return {"type": "text", "text": said}
        case ToolCall(name=name, arguments=arguments, opaque=opaque):
            return {"type": "tool_use", "name": name, "input": json.loads(arguments), **msgspec.json.decode(opaque)}
        case Thinking(opaque=opaque):
            return msgspec.json.decode(opaque)
        case _:
            raise AssertionError(part)


@pytest.mark.parametrize(
    ("status", "kind", "code", "error"),
    [
        (400, "invalid_request_error", "invalid_request", anthropic.BadRequestError),
        (401, "authentication_error", "authentication", anthropic.AuthenticationError),
        (403, "permission_error", "permission", anthropic.PermissionDeniedError),
        (404, "not_found_error", "not_found", anthropic.NotFoundError),
        (429, "rate_limit_error", "rate_limit", anthropic.RateLimitError),
        (500, "api_error", "server_error", anthropic.InternalServerError),
        (529, "overloaded_error", "overloaded", anthropic.InternalServerError),
    ],
)
async def test_both_tell_failures_apart(
    ours: ModelClient,
    sdk: anthropic.AsyncAnthropic,
    upstream: AnthropicUpstream,
    status: int,
    kind: str,
    code: str,
    error: type[anthropic.APIStatusError],
) -> None:
    upstream.script(refuses(status, "because", kind), refuses(status, "because", kind))
    with pytest.raises(ModelFailure) as our:
        await done(ours, ModelAsk(model=MODEL))
    with pytest.raises(error) as their:
        await sdk.messages.create(model=MODEL, max_tokens=9, messages=[], stream=True)
    assert (our.value.code, our.value.status) == (code, their.value.status_code)
    assert "because" in our.value.message
