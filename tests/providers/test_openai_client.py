"""The whole client against a real server with real faults."""

import asyncio
import importlib
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from agentrt.events import TextDelta, ToolCallDelta
from agentrt.messages import Usage
from agentrt.messages import says as message
from agentrt.providers import Chunk, Done, ModelAsk, ModelClient, ModelFailure
from upstreams.openai_upstream import Gate, OpenAIUpstream, Reply, calls, chunk, event, page, refuses, says, streams

pytestmark = pytest.mark.anyio

ASK = ModelAsk(model="gpt-4o", messages=(message("user", "Hi"),), call_prefix="call_abc")


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    """Our own HTTP and the official SDK read the same and fail in the same words."""
    importlib.import_module("openai")  # the second that it takes is not to count in limits
    return request.param


async def collect(client: ModelClient) -> list[Chunk]:
    return [chunk async for chunks in client.stream(ASK) for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


async def failure_of(client: ModelClient) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await collect(client)
    assert "verysecret" not in caught.value.message
    return caught.value


async def test_an_answer_arrives_whole(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        first, second = await collect(client), await collect(client)
    assert text_of(first) == "Hello, world"
    assert first[-1] == Done(
        message=message("assistant", "Hello, world"), usage=Usage(11, 7, 3, 2), stop="stop", model="gpt-4o-mini-2024-07-18"
    )
    assert [(c.id, c.name) for c in second if isinstance(c, ToolCallDelta) and c.id] == [("call_abc000", "echo")]
    request = upstream.chats[0]
    assert request.headers["authorization"] == "Bearer sk-verysecret"
    assert request.headers["content-type"] == "application/json"
    assert request.body["messages"] == [{"role": "user", "content": "Hi"}]


async def test_text_is_handed_on_as_it_arrives(acme: Any, upstream: OpenAIUpstream) -> None:
    gate = Gate()
    frames = says("ab", size=1).frames
    upstream.script(Reply([*frames[:2], gate, *frames[2:]]))
    async with acme() as client, aclosing(client.stream(ASK)) as stream:
        assert await anext(stream) == [TextDelta(text="a")]
        gate.open()
        assert text_of([chunk async for chunks in stream for chunk in chunks]) == "b"


async def test_connections_are_used_again(acme: Any, upstream: OpenAIUpstream) -> None:
    async with acme() as client:
        for _ in range(5):
            assert text_of(await collect(client)) == "Hello from upstream."
    assert upstream.connections <= 2  # the list of models is asked for at the same time


async def test_closing_the_stream_hangs_up_at_once(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(says("Never finished", end="hang"))
    async with acme() as client:
        async with aclosing(client.stream(ASK)) as stream:
            await anext(stream)
        request = upstream.chats[0]
        assert await asyncio.to_thread(request.hung_up.wait, 5)


async def test_cancelling_the_reader_hangs_up_at_once(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(Reply(end="hang"))
    async with acme() as client:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(collect(client))
            request = await asyncio.to_thread(upstream.wait_for_chat)
            reading.cancel()
        assert await asyncio.to_thread(request.hung_up.wait, 5)


@pytest.mark.parametrize(
    ("reply", "code", "status", "retryable", "words"),
    [
        (refuses(400, "bad temperature"), "invalid_request", 400, False, "bad temperature"),
        (refuses(400, "too long", "context_length_exceeded"), "context_length", 400, False, "too long"),
        (refuses(401, "Incorrect API key provided: sk-verysecret"), "authentication", 401, False, "refused the API key"),
        (refuses(403), "permission", 403, False, "does not allow"),
        (refuses(404, "The model `x` does not exist"), "not_found", 404, False, "does not exist"),
        (refuses(429, "slow down", retry_after="7"), "rate_limit", 429, True, "slow down"),
        (refuses(429, "no money", "insufficient_quota"), "rate_limit", 429, False, "no money"),
        (refuses(500), "server_error", 500, True, "failed"),
        (refuses(503), "overloaded", 503, True, "overloaded"),
        (page(200), "malformed", 200, False, "web page"),
        (page(404), "not_found", 404, False, "/v1"),
        (page(502), "server_error", 502, True, "web page"),
        (Reply([b"upstream connect error"], 503, ()), "overloaded", 503, True, "upstream connect error"),
        (Reply([], 302, (("location", "https://example.com/"),)), "not_found", 302, False, "redirect"),
        (Reply([b'{"detail": "Not Found"}'], 404, ()), "not_found", 404, False, "Not Found"),
    ],
)
async def test_a_refusal_is_one_clear_sentence(
    acme: Any, upstream: OpenAIUpstream, reply: Reply, code: str, status: int, retryable: bool, words: str
) -> None:
    upstream.script(reply)
    async with acme() as client:
        failure = await failure_of(client)
    assert (failure.code, failure.status, failure.retryable) == (code, status, retryable)
    assert words in failure.message
    assert "acme" in failure.message


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (says("Half an answ", end="cut"), "connection"),
        (says("Half an answ", end="reset"), "connection"),
        (streams({"content": "Half an answ"}, finish=None), "truncated"),
        (Reply([event(chunk({"content": "Half"})), event(b"{oops")]), "malformed"),
        (Reply([event(chunk({"content": "Half"})), b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n']), "malformed"),
        (
            Reply([event(chunk({"content": "Half"})), event({"error": {"message": "died", "type": "server_error"}})]),
            "server_error",
        ),
    ],
    ids=["cut", "reset", "early end", "bad json", "bad utf-8", "error object"],
)
async def test_a_broken_stream_is_never_a_short_answer(acme: Any, upstream: OpenAIUpstream, reply: Reply, code: str) -> None:
    upstream.script(reply)
    async with acme() as client:
        assert (await failure_of(client)).code == code


async def test_an_answer_that_was_complete_survives_the_loss_of_its_end(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(Reply([event(chunk({"content": "All."})), event(chunk({}, "stop"))], end="cut"))
    async with acme() as client:
        assert text_of(await collect(client)) == "All."


async def test_a_provider_that_does_not_stream_is_understood(acme: Any, upstream: OpenAIUpstream) -> None:
    whole = b'{"choices":[{"message":{"role":"assistant","content":"At once."},"finish_reason":"stop"}]}'
    upstream.script(Reply([whole], headers=(("content-type", "application/json"),)))
    async with acme() as client:
        assert text_of(await collect(client)) == "At once."


async def test_silence_has_an_end_wherever_it_falls(acme: Any, upstream: OpenAIUpstream) -> None:
    before_the_head, before_the_first_byte, in_the_middle = (
        Reply(status=0, end="hang"),
        Reply(end="hang"),
        says("Half", end="hang"),
    )
    upstream.script(before_the_head, before_the_first_byte, in_the_middle)
    async with acme(first_token_s=0.4, idle_s=0.1) as client:
        failures = [await failure_of(client) for _ in range(3)]
    assert [failure.code for failure in failures] == ["timeout_first_token", "timeout_first_token", "timeout_idle"]
    assert all(failure.retryable for failure in failures)
    assert [failure.message for failure in failures] == [
        "acme did not begin to answer within 0.4 s",
        "acme did not begin to answer within 0.4 s",
        "acme sent nothing for 0.1 s",
    ]


async def test_the_whole_answer_has_a_limit_too(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(says("x" * 400, size=1, pause=0.01))
    async with acme(idle_s=5, total_s=0.15) as client:
        failure = await failure_of(client)
    assert (failure.code, failure.message) == ("timeout_total", "acme did not finish its answer within 0.15 s")


async def test_a_slow_reader_is_not_taken_for_a_silent_provider(acme: Any, upstream: OpenAIUpstream) -> None:
    gate = Gate()
    frames = says("ab", size=1).frames
    upstream.script(Reply([*frames[:2], gate, *frames[2:]]))
    async with acme(idle_s=0.05) as client, aclosing(client.stream(ASK)) as stream:
        assert await anext(stream) == [TextDelta(text="a")]
        several_limits_passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, several_limits_passed.set)
        await several_limits_passed.wait()
        gate.open()
        assert text_of([chunk async for chunks in stream for chunk in chunks]) == "b"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", "127.0.0.1:9 refused the connection"),
        ("http://nowhere.invalid/v1", "nowhere.invalid cannot be resolved"),
        ("nonsense", "not an http address"),
        ("ftp://127.0.0.1/v1", "not an http address"),
    ],
)
async def test_an_address_that_cannot_be_reached_is_named(acme: Any, url: str, words: str) -> None:
    async with acme(base_url=url) as client:
        assert words in (await failure_of(client)).message


def test_tls_where_there_is_none_is_said(acme: Any, upstream: OpenAIUpstream) -> None:
    async def failure_over_tls() -> ModelFailure:
        async with acme(base_url=upstream.base_url.replace("http:", "https:")) as client:
            return await failure_of(client)

    # Not on uvloop: there the failed handshake once surfaced in the test runner too, beside our own failure.
    failure = asyncio.run(failure_over_tls())
    assert "http instead of https" in failure.message
    assert not failure.retryable


async def test_many_answers_at_once_do_not_mix(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.answer = lambda request: says("Hello from upstream." * 3)
    async with acme() as client, asyncio.TaskGroup() as group:
        running = [group.create_task(collect(client)) for _ in range(50)]
    assert {text_of(task.result()) for task in running} == {"Hello from upstream." * 3}


def test_the_upstream_itself_starts_and_ends(openai_upstream: Callable[[], OpenAIUpstream]) -> None:
    assert openai_upstream().base_url != openai_upstream().base_url
