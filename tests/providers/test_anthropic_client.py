"""The whole client against a real server with real faults."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from agentrt.events import ToolCallDelta
from agentrt.messages import Message, Text, Thinking, ToolCall, ToolResult, Usage
from agentrt.messages import says as message
from agentrt.providers import Done, ModelAsk, ModelInfo, ProviderEntry, Providers, Retrying
from fixtures.wires import WIRES, collect, failure_of, text_of
from upstreams.anthropic_upstream import (
    MODEL,
    SIGNATURE,
    AnthropicUpstream,
    calls,
    event,
    joined,
    refuses,
    says,
    start,
    streams,
    text,
    tool_use,
)
from upstreams.http_upstream import Reply, page

pytestmark = pytest.mark.anyio

ASK = WIRES["anthropic"].asks()
HALF = [event(start()), *map(event, text(0, "Half")[:-1])]


@pytest.fixture
def wire() -> str:
    return "anthropic"


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    """Our own HTTP and the official SDK read the same and fail in the same words."""
    return request.param


async def test_an_answer_arrives_whole(acme: Any, upstream: AnthropicUpstream, carrier: str) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        first, second = await collect(client, ASK), await collect(client, ASK)
    assert text_of(first) == "Hello, world"
    assert first[-1] == Done(
        message=message("assistant", "Hello, world"),
        usage=Usage(18, 7, 3, cache_write=4),
        stop="stop",
        model=MODEL,
    )
    assert [(c.id, c.name) for c in second if isinstance(c, ToolCallDelta) and c.id] == [("call_abc000", "echo")]
    request = upstream.chats[0]
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["content-type"] == "application/json"
    keys = {name: value for name, value in request.headers.items() if name in ("authorization", "x-api-key")}
    # The API takes its key either way.
    native = {"x-api-key": "sk-verysecret"}
    assert keys == (native if carrier == "native" else {"authorization": "Bearer sk-verysecret"})


async def test_address_version_and_headers_are_configurable(acme: Any, upstream: AnthropicUpstream) -> None:
    entry = {"base_url": upstream.base_url + "/v1/", "api_version": "2026-10-21", "headers": {"X-Api-Key": "k-of-the-proxy"}}
    async with acme(**entry) as client:
        assert text_of(await collect(client, ASK)) == "Hello from upstream."
    headers = upstream.chats[0].headers
    assert (headers["anthropic-version"], headers["x-api-key"]) == ("2026-10-21", "k-of-the-proxy")


async def test_the_models_of_an_own_address_are_listed(upstream: AnthropicUpstream) -> None:
    async with Providers({"acme": ProviderEntry(wire="anthropic", base_url=upstream.base_url)}) as providers:
        await providers.listed(30)
        assert ModelInfo("claude-haiku-4-5-20251001", "acme") in providers.models()


async def test_a_paused_turn_is_gone_on_with_as_one_answer(acme: Any, upstream: AnthropicUpstream) -> None:
    search = tool_use(1, "web_search", {"query": "a"}, kind="server_tool_use")
    upstream.script(streams(text(0, "I look."), search, reason="pause_turn"), streams(text(0, " Found."), reason="end_turn"))
    async with acme() as client:
        chunks = await collect(client, ASK)
    last = chunks[-1]
    assert isinstance(last, Done)
    assert [type(chunk) for chunk in chunks].count(Done) == 1
    assert (text_of(chunks), last.message.text, last.stop) == ("I look. Found.", "I look. Found.", "stop")
    assert last.usage == Usage(36, 14, 6, cache_write=8)
    first, second = upstream.chats
    assert second.body["messages"][:-1] == first.body["messages"]
    assert second.body["messages"][-1] == {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I look."},
            {"type": "server_tool_use", "id": "toolu_upstream1", "name": "web_search", "input": {"query": "a"}},
        ],
    }


async def test_an_answer_that_pauses_for_ever_has_an_end(acme: Any, upstream: AnthropicUpstream) -> None:
    upstream.default = streams(tool_use(0, "web_search", {}, kind="server_tool_use"), reason="pause_turn")
    async with acme() as client:
        failure = await failure_of(client, ASK)
    assert (failure.code, len(upstream.chats)) == ("truncated", 20)


def after_a_call() -> ModelAsk:
    kept = {"type": "thinking", "thinking": "I need a tool.", "signature": SIGNATURE}
    thought = Thinking("I need a tool.", "acme", msgspec.Raw(msgspec.json.encode(kept)))
    call = ToolCall("call_abc000", "echo", '{"text": "Hi"}', msgspec.Raw(b'{"id":"toolu_upstream1"}'), "acme")
    result = Message("tool", (ToolResult("call_abc000", (Text("Hi"),)),))
    return msgspec.structs.replace(ASK, messages=(*ASK.messages, Message("assistant", (thought, call)), result))


async def test_what_was_read_goes_back_as_it_was_sent(acme: Any, upstream: AnthropicUpstream) -> None:
    upstream.script(calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        last = (await collect(client, ASK))[-1]
        assert isinstance(last, Done)
        result = Message("tool", (ToolResult("call_abc000", (Text("Hi"),)),))
        await collect(client, msgspec.structs.replace(ASK, messages=(*ASK.messages, last.message, result)))
    sent = upstream.chats[1].body["messages"]
    assert sent[1]["content"] == joined(calls(("echo", {"text": "Hi"})))["content"]
    assert sent[2]["content"][0]["tool_use_id"] == "toolu_upstream1"


async def test_thinking_that_the_provider_does_not_recognise_is_left_out(acme: Any, upstream: AnthropicUpstream) -> None:
    why = "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation."
    upstream.script(refuses(400, why))
    async with acme() as client:
        assert text_of(await collect(client, after_a_call())) == "Hello from upstream."
    first, second = (request.body["messages"][1]["content"] for request in upstream.chats)
    assert [block["type"] for block in first] == ["thinking", "tool_use"]
    assert [block["type"] for block in second] == ["tool_use"]


async def test_other_refusals_are_not_asked_twice(acme: Any, upstream: AnthropicUpstream) -> None:
    upstream.script(refuses(400, "max_tokens: too large"), refuses(400, "Invalid `signature` in `thinking` block"))
    async with acme() as client:
        await failure_of(client, after_a_call())
        await failure_of(client, ASK)
    assert len(upstream.chats) == 2


LATER = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)


@pytest.mark.parametrize(
    ("reply", "code", "status", "retryable", "words"),
    [
        (refuses(400, "bad temperature"), "invalid_request", 400, False, "bad temperature"),
        (refuses(400, "prompt is too long: 210000 tokens > 200000 maximum"), "context_length", 400, False, "too long"),
        (refuses(400, "input length and `max_tokens` exceed context limit"), "context_length", 400, False, "limit"),
        (refuses(401, "invalid x-api-key sk-verysecret", "authentication_error"), "authentication", 401, False, "API key"),
        (refuses(402, "pay", "billing_error"), "permission", 402, False, "pay"),
        (refuses(403, "no", "permission_error"), "permission", 403, False, "does not allow"),
        (refuses(404, "model: claude-x", "not_found_error"), "not_found", 404, False, "claude-x"),
        (refuses(413, "Request exceeds the maximum size", "request_too_large"), "invalid_request", 413, False, "size"),
        (refuses(429, "slow down", "rate_limit_error", retry_after="7"), "rate_limit", 429, True, "slow down"),
        (refuses(429, "slow down", "rate_limit_error", retry_after=LATER), "rate_limit", 429, True, "slow down"),
        (refuses(500, "Internal server error", "api_error"), "server_error", 500, True, "Internal"),
        (refuses(503, "no", "api_error"), "overloaded", 503, True, "overloaded"),
        (refuses(504, "slow", "timeout_error"), "server_error", 504, True, "slow"),
        (refuses(529, "Overloaded", "overloaded_error"), "overloaded", 529, True, "Overloaded"),
        (page(200), "malformed", 200, False, "web page"),
        (page(502), "server_error", 502, True, "web page"),
        (Reply([b"upstream connect error"], 503, ()), "overloaded", 503, True, "upstream connect error"),
    ],
)
async def test_a_refusal_is_one_clear_sentence(
    acme: Any, upstream: AnthropicUpstream, reply: Reply, code: str, status: int, retryable: bool, words: str
) -> None:
    upstream.script(reply)
    async with acme() as client:
        failure = await failure_of(client, ASK)
    assert (failure.code, failure.status, failure.retryable) == (code, status, retryable)
    assert words in failure.message
    assert "acme" in failure.message
    assert (failure.retry_after_s is not None) is (code == "rate_limit")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (streams(text(0, "Half an answ"), reason=None), "truncated"),
        (Reply([*HALF, b"event: message_delta\ndata: {oops\n\n"]), "malformed"),
        (Reply([*HALF, b'data: {"type":"content_block_delta","delta":{"text":"\xff"}}\n\n']), "malformed"),
        (Reply([*HALF, event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})]), "overloaded"),
    ],
    ids=["early end", "bad json", "bad utf-8", "error event"],
)
async def test_a_broken_stream_is_never_a_short_answer(acme: Any, upstream: AnthropicUpstream, reply: Reply, code: str) -> None:
    upstream.script(reply)
    async with acme() as client:
        assert (await failure_of(client, ASK)).code == code


async def test_overload_before_the_first_token_is_asked_again(acme: Any, upstream: AnthropicUpstream) -> None:
    overloaded = event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    upstream.script(Reply([overloaded]), refuses(529, "Overloaded", "overloaded_error"))
    async with acme(attempts=3) as client:
        chunks = await collect(client, ASK)
    assert [chunk.code for chunk in chunks if isinstance(chunk, Retrying)] == ["overloaded", "overloaded"]
    assert text_of(chunks) == "Hello from upstream."
