"""The official SDK as the oracle of the Responses API: it knows what we send, and reads of an answer what we read."""

import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
import openai
import pytest
from openai.types.responses import ResponseError, ResponseStreamEvent, response_create_params, response_input_item_param
from pydantic import TypeAdapter

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult
from agentrt.messages import says as said
from agentrt.providers import ModelAsk, ModelClient, ModelFailure
from agentrt.providers.responses_request import request_body
from agentrt.tools import ToolDef
from fixtures.wires import done
from upstreams.http_upstream import Reply
from upstreams.responses_upstream import (
    ResponsesUpstream,
    calls,
    data_of,
    message,
    reasoning,
    refusal,
    refuses,
    says,
    streams,
)

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
HI = ModelAsk(model="gpt-5.5", messages=(said("user", "Hi"),), call_prefix="call_")


def kept(item: dict[str, Any]) -> Thinking:
    return Thinking("", "acme", msgspec.Raw(msgspec.json.encode(item)))


ASK = ModelAsk(
    model="gpt-5.5",
    system=("Be brief.",),
    messages=(
        Message(
            "user",
            (
                Text("What is this?"),
                Image(url="https://example.com/a.png", detail="low"),
                File(data="data:application/pdf;base64,AA==", name="a.pdf"),
            ),
        ),
        Message(
            "assistant",
            (
                kept(reasoning("Hm.")),
                Text("I look."),
                kept({name: value for name, value in message("").items() if name != "content"}),
                ToolCall("call_1", "echo", '{"text":"a"}'),
            ),
        ),
        Message("tool", (ToolResult("call_1", (Text("a"), Image(url="data:image/png;base64,AA=="))),)),
        said("user", "Go on"),
    ),
    tools=(ToolDef(id="echo", description="Says it again.", schema=SCHEMA),),
    caller_tools=(CallerTool(name="lookup", parameters=SCHEMA, strict=True),),
    parameters={
        "max_tokens": 4000,
        "temperature": 0.5,
        "parallel_tool_calls": False,
        "tool_choice": {"type": "function", "function": {"name": "lookup"}},
        "reasoning_effort": "low",
        "verbosity": "low",
        "service_tier": "default",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
    },
    user="ann",
)


@pytest.fixture
def wire() -> str:
    return "openai_responses"


@pytest.fixture
async def sdk(upstream: ResponsesUpstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=upstream.base_url, api_key="sk-verysecret", max_retries=0) as client:
        yield client


def test_the_sdks_types_know_everything_that_is_sent() -> None:
    body = json.loads(request_body(ASK, "acme"))
    TypeAdapter(response_create_params.ResponseCreateParamsStreaming).validate_python(body, extra="forbid")
    # What is iterable there is only looked at as it is read.
    for item in body["input"]:
        TypeAdapter(response_input_item_param.ResponseInputItemParam).validate_python(item, extra="forbid")


@pytest.mark.parametrize("reply", [calls(("echo", {"text": "a"})), streams(message("a"), refusal("no"), status="incomplete")])
def test_our_upstream_is_one_that_the_sdks_types_know(reply: Reply) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for frame in reply.frames:
        adapter.validate_python(data_of(frame))


async def test_the_sdk_sends_the_same_request(ours: ModelClient, sdk: openai.AsyncOpenAI, upstream: ResponsesUpstream) -> None:
    await done(ours, ASK)
    sent = json.loads(request_body(ASK, "acme"))
    async for _ in await sdk.responses.create(**sent):
        pass
    our, their = upstream.chats
    assert our.body == their.body == sent
    assert (our.method, our.path) == (their.method, their.path)


@pytest.mark.parametrize(
    "reply",
    [
        says("Grüße aus 🌍"),
        calls(("echo", {"text": "ä"}), ("lookup", {"text": "b"})),
        streams(
            reasoning("Let me", "see."), message("Cut"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
        ),
        streams(refusal("I will not.")),
    ],
    ids=["text", "calls", "reasoning", "refusal"],
)
async def test_both_read_the_same_answer(
    ours: ModelClient, sdk: openai.AsyncOpenAI, upstream: ResponsesUpstream, reply: Reply
) -> None:
    upstream.script(reply, reply)
    read = await done(ours, HI)
    async with sdk.responses.stream(model="gpt-5.5", input="Hi") as stream:
        events = [each async for each in stream]
    last: Any = events[-1]
    theirs = last.response
    refused = [
        part.refusal for item in theirs.output if item.type == "message" for part in item.content if part.type == "refusal"
    ]
    assert read.message.text == theirs.output_text + "".join(refused)
    wanted = [(item.name, item.arguments) for item in theirs.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in read.message.calls] == wanted
    thought = [[part.text for part in item.summary] for item in theirs.output if item.type == "reasoning"]
    shown = [part.text.split("\n\n") for part in read.message.parts if isinstance(part, Thinking) and part.text]
    assert shown == thought
    kept_ids = {item["id"] for part in read.message.parts if (item := own_of(part))}
    assert kept_ids == {item.id for item in theirs.output}
    assert (read.stop == "length", read.model) == (theirs.status == "incomplete", theirs.model)
    spent = theirs.usage
    assert (read.usage.input, read.usage.output) == (spent.input_tokens, spent.output_tokens)
    assert (read.usage.cached, read.usage.reasoning) == (
        spent.input_tokens_details.cached_tokens,
        spent.output_tokens_details.reasoning_tokens,
    )


def own_of(part: Any) -> Any:
    opaque = getattr(part, "opaque", b"")
    return msgspec.json.decode(opaque) if bytes(opaque) else None


_ERRORS = {
    "server_error": ("server_error", True),
    "rate_limit_exceeded": ("rate_limit", True),
    "vector_store_timeout": ("timeout", True),
    "bio_policy": ("content_filter", False),
    "misalignment_policy_violation": ("content_filter", False),
    "image_content_policy_violation": ("content_filter", False),
}


@pytest.mark.parametrize("named", get_args(ResponseError.model_fields["code"].annotation))
async def test_what_the_sdk_knows_to_go_wrong_in_an_answer_is_called_by_its_name(
    ours: ModelClient, upstream: ResponsesUpstream, named: str
) -> None:
    upstream.script(streams(status="failed", error={"code": named, "message": "because"}))
    with pytest.raises(ModelFailure) as caught:
        await done(ours, HI)
    assert (caught.value.code, caught.value.retryable) == _ERRORS.get(named, ("invalid_request", False))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_request", openai.BadRequestError),
        (401, "authentication", openai.AuthenticationError),
        (403, "permission", openai.PermissionDeniedError),
        (404, "not_found", openai.NotFoundError),
        (429, "rate_limit", openai.RateLimitError),
        (500, "server_error", openai.InternalServerError),
    ],
)
async def test_both_tell_failures_apart(
    ours: ModelClient,
    sdk: openai.AsyncOpenAI,
    upstream: ResponsesUpstream,
    status: int,
    code: str,
    error: type[openai.APIStatusError],
) -> None:
    upstream.script(refuses(status, "because"), refuses(status, "because"))
    with pytest.raises(ModelFailure) as our:
        await done(ours, HI)
    with pytest.raises(error) as their:
        await sdk.responses.create(model="gpt-5.5", input="Hi", stream=True)
    assert (our.value.code, our.value.status) == (code, their.value.status_code)
    assert "because" in our.value.message
