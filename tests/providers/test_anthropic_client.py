"""The whole client against a real server with real faults."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from agentrt.agents import Retry
from agentrt.events import TextDelta, ToolCallDelta
from agentrt.messages import Message, Text, Thinking, ToolCall, ToolResult, Usage
from agentrt.messages import says as message
from agentrt.providers import Chunk, Done, ModelAsk, ModelClient, ModelFailure, ModelInfo, ProviderEntry, Providers, Retrying
from upstreams.anthropic_upstream import (
    MODEL,
    SIGNATURE,
    AnthropicUpstream,
    calls,
    event,
    finish,
    joined,
    refuses,
    says,
    start,
    streams,
    text,
    tool_use,
)
from upstreams.http_upstream import Gate, Reply, page

pytestmark = pytest.mark.anyio

ASK = ModelAsk(model=MODEL, messages=(message("user", "Hi"),), call_prefix="call_abc")
HALF = [event(start()), *map(event, text(0, "Half")[:-1])]
Speak = Callable[..., AbstractAsyncContextManager[ModelClient]]


@pytest.fixture
def upstream(start_upstream: Any) -> AnthropicUpstream:
    return start_upstream(AnthropicUpstream)


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    """Our own HTTP and the official SDK read the same and fail in the same words."""
    importlib.import_module("anthropic")  # the second that it takes is not to count in limits
    return request.param


@pytest.fixture
def acme(upstream: AnthropicUpstream, carrier: str) -> Speak:
    @asynccontextmanager
    async def speak(attempts: int = 1, **entry: Any) -> AsyncIterator[ModelClient]:
        made = {"wire": "anthropic", "client": carrier, "base_url": upstream.base_url, "api_key": "sk-ant-verysecret", **entry}
        async with Providers({"acme": ProviderEntry(**made)}) as providers:
            yield providers.client("acme", Retry(attempts=attempts, backoff=0))

    return speak


async def collect(client: ModelClient, ask: ModelAsk = ASK) -> list[Chunk]:
    return [chunk async for chunks in client.stream(ask) for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


async def failure_of(client: ModelClient, ask: ModelAsk = ASK) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await collect(client, ask)
    assert "verysecret" not in caught.value.message
    return caught.value


async def test_an_answer_arrives_whole(acme: Speak, upstream: AnthropicUpstream, carrier: str) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        first, second = await collect(client), await collect(client)
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
    native = {"x-api-key": "sk-ant-verysecret"}
    assert keys == (native if carrier == "native" else {"authorization": "Bearer sk-ant-verysecret"})


async def test_address_version_and_headers_are_configurable(acme: Speak, upstream: AnthropicUpstream) -> None:
    entry = {"base_url": upstream.base_url + "/v1/", "api_version": "2026-10-21", "headers": {"X-Api-Key": "k-of-the-proxy"}}
    async with acme(**entry) as client:
        assert text_of(await collect(client)) == "Hello from upstream."
    headers = upstream.chats[0].headers
    assert (headers["anthropic-version"], headers["x-api-key"]) == ("2026-10-21", "k-of-the-proxy")


async def test_the_models_of_an_own_address_are_listed(upstream: AnthropicUpstream) -> None:
    async with Providers({"acme": ProviderEntry(wire="anthropic", base_url=upstream.base_url)}) as providers:
        await providers.listed(10)
        assert ModelInfo("claude-haiku-4-5-20251001", "acme") in providers.models()


async def test_text_is_handed_on_as_it_arrives(acme: Speak, upstream: AnthropicUpstream) -> None:
    gate = Gate()
    frames = says("ab", size=1).frames
    upstream.script(Reply([*frames[:4], gate, *frames[4:]]))
    async with acme() as client, aclosing(client.stream(ASK)) as stream:
        assert await anext(stream) == [TextDelta(text="a")]
        gate.open()
        assert text_of([chunk async for chunks in stream for chunk in chunks]) == "b"


async def test_connections_are_used_again(acme: Speak, upstream: AnthropicUpstream) -> None:
    async with acme() as client:
        for _ in range(5):
            assert text_of(await collect(client)) == "Hello from upstream."
    assert upstream.connections <= 2  # the list of models is asked for at the same time


async def test_a_paused_turn_is_gone_on_with_as_one_answer(acme: Speak, upstream: AnthropicUpstream) -> None:
    search = tool_use(1, "web_search", {"query": "a"}, kind="server_tool_use")
    upstream.script(streams(text(0, "I look."), search, reason="pause_turn"), streams(text(0, " Found."), reason="end_turn"))
    async with acme() as client:
        chunks = await collect(client)
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


async def test_an_answer_that_pauses_for_ever_has_an_end(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.default = streams(tool_use(0, "web_search", {}, kind="server_tool_use"), reason="pause_turn")
    async with acme() as client:
        failure = await failure_of(client)
    assert (failure.code, len(upstream.chats)) == ("truncated", 20)


def after_a_call() -> ModelAsk:
    kept = {"type": "thinking", "thinking": "I need a tool.", "signature": SIGNATURE}
    thought = Thinking("I need a tool.", "acme", msgspec.Raw(msgspec.json.encode(kept)))
    call = ToolCall("call_abc000", "echo", '{"text": "Hi"}', msgspec.Raw(b'{"id":"toolu_upstream1"}'), "acme")
    result = Message("tool", (ToolResult("call_abc000", (Text("Hi"),)),))
    return msgspec.structs.replace(ASK, messages=(*ASK.messages, Message("assistant", (thought, call)), result))


async def test_what_was_read_goes_back_as_it_was_sent(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.script(calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        last = (await collect(client))[-1]
        assert isinstance(last, Done)
        result = Message("tool", (ToolResult("call_abc000", (Text("Hi"),)),))
        await collect(client, msgspec.structs.replace(ASK, messages=(*ASK.messages, last.message, result)))
    sent = upstream.chats[1].body["messages"]
    assert sent[1]["content"] == joined(calls(("echo", {"text": "Hi"})))["content"]
    assert sent[2]["content"][0]["tool_use_id"] == "toolu_upstream1"


async def test_thinking_that_the_provider_does_not_recognise_is_left_out(acme: Speak, upstream: AnthropicUpstream) -> None:
    why = "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation."
    upstream.script(refuses(400, why))
    async with acme() as client:
        assert text_of(await collect(client, after_a_call())) == "Hello from upstream."
    first, second = (request.body["messages"][1]["content"] for request in upstream.chats)
    assert [block["type"] for block in first] == ["thinking", "tool_use"]
    assert [block["type"] for block in second] == ["tool_use"]


async def test_other_refusals_are_not_asked_twice(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.script(refuses(400, "max_tokens: too large"), refuses(400, "Invalid `signature` in `thinking` block"))
    async with acme() as client:
        await failure_of(client, after_a_call())
        await failure_of(client)
    assert len(upstream.chats) == 2


async def test_closing_the_stream_hangs_up_at_once(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.script(says("Never finished", end="hang"))
    async with acme() as client:
        async with aclosing(client.stream(ASK)) as stream:
            await anext(stream)
        assert await asyncio.to_thread(upstream.chats[0].hung_up.wait, 5)


async def test_cancelling_the_reader_hangs_up_at_once(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.script(Reply(end="hang"))
    async with acme() as client:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(collect(client))
            request = await asyncio.to_thread(upstream.wait_for_chat)
            reading.cancel()
        assert await asyncio.to_thread(request.hung_up.wait, 5)


LATER = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)


@pytest.mark.parametrize(
    ("reply", "code", "status", "retryable", "words"),
    [
        (refuses(400, "bad temperature"), "invalid_request", 400, False, "bad temperature"),
        (refuses(400, "prompt is too long: 210000 tokens > 200000 maximum"), "context_length", 400, False, "too long"),
        (refuses(400, "input length and `max_tokens` exceed context limit"), "context_length", 400, False, "limit"),
        (refuses(401, "invalid x-api-key sk-ant-verysecret", "authentication_error"), "authentication", 401, False, "API key"),
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
    acme: Speak, upstream: AnthropicUpstream, reply: Reply, code: str, status: int, retryable: bool, words: str
) -> None:
    upstream.script(reply)
    async with acme() as client:
        failure = await failure_of(client)
    assert (failure.code, failure.status, failure.retryable) == (code, status, retryable)
    assert words in failure.message
    assert "acme" in failure.message
    assert (failure.retry_after_s is not None) is (code == "rate_limit")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (says("Half an answ", end="cut"), "connection"),
        (says("Half an answ", end="reset"), "connection"),
        (streams(text(0, "Half an answ"), reason=None), "truncated"),
        (Reply([*HALF, b"event: message_delta\ndata: {oops\n\n"]), "malformed"),
        (Reply([*HALF, b'data: {"type":"content_block_delta","delta":{"text":"\xff"}}\n\n']), "malformed"),
        (Reply([*HALF, event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})]), "overloaded"),
    ],
    ids=["cut", "reset", "early end", "bad json", "bad utf-8", "error event"],
)
async def test_a_broken_stream_is_never_a_short_answer(acme: Speak, upstream: AnthropicUpstream, reply: Reply, code: str) -> None:
    upstream.script(reply)
    async with acme() as client:
        assert (await failure_of(client)).code == code


async def test_overload_before_the_first_token_is_asked_again(acme: Speak, upstream: AnthropicUpstream) -> None:
    overloaded = event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    upstream.script(Reply([overloaded]), refuses(529, "Overloaded", "overloaded_error"))
    async with acme(attempts=3) as client:
        chunks = await collect(client)
    assert [chunk.code for chunk in chunks if isinstance(chunk, Retrying)] == ["overloaded", "overloaded"]
    assert text_of(chunks) == "Hello from upstream."


async def test_an_answer_that_was_complete_survives_the_loss_of_its_end(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.script(Reply([event(start()), *map(event, text(0, "All.")), event(finish()[0])], end="cut"))
    async with acme() as client:
        assert text_of(await collect(client)) == "All."


async def test_a_provider_that_does_not_stream_is_understood(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.script(upstream.unstreamed(says("At once.")))
    async with acme() as client:
        assert text_of(await collect(client)) == "At once."


async def test_silence_has_an_end_wherever_it_falls(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.script(Reply(status=0, end="hang"), Reply(end="hang"), says("Half", end="hang"))
    async with acme(first_token_s=0.4, idle_s=0.1) as client:
        failures = [await failure_of(client) for _ in range(3)]
    assert [failure.code for failure in failures] == ["timeout_first_token", "timeout_first_token", "timeout_idle"]
    assert all(failure.retryable for failure in failures)


async def test_many_answers_at_once_do_not_mix(acme: Speak, upstream: AnthropicUpstream) -> None:
    upstream.answer = lambda request: says("Hello from upstream." * 3)
    async with acme() as client, asyncio.TaskGroup() as group:
        running = [group.create_task(collect(client)) for _ in range(50)]
    assert {text_of(task.result()) for task in running} == {"Hello from upstream." * 3}
