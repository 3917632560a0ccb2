"""The whole client against a real server with real faults."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from agentrt.events import TextDelta, ToolCallDelta
from agentrt.messages import Usage
from agentrt.messages import says as message
from agentrt.providers import Done, ModelFailure
from fixtures.wires import WIRES, collect, failure_of, text_of
from upstreams.openai_upstream import Gate, OpenAIUpstream, Reply, calls, chunk, event, page, refuses, says, streams

pytestmark = pytest.mark.anyio

ASK = WIRES["openai"].asks()


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    """Our own HTTP and the official SDK read the same and fail in the same words."""
    return request.param


async def test_an_answer_arrives_whole(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        first, second = await collect(client, ASK), await collect(client, ASK)
    assert text_of(first) == "Hello, world"
    assert first[-1] == Done(
        message=message("assistant", "Hello, world"), usage=Usage(11, 7, 3, 2), stop="stop", model="gpt-4o-mini-2024-07-18"
    )
    assert [(c.id, c.name) for c in second if isinstance(c, ToolCallDelta) and c.id] == [("call_abc000", "echo")]
    request = upstream.chats[0]
    assert request.headers["authorization"] == "Bearer sk-verysecret"
    assert request.headers["content-type"] == "application/json"
    assert request.body["messages"] == [{"role": "user", "content": "Hi"}]


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
        failure = await failure_of(client, ASK)
    assert (failure.code, failure.status, failure.retryable) == (code, status, retryable)
    assert words in failure.message
    assert "acme" in failure.message


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (streams({"content": "Half an answ"}, finish=None), "truncated"),
        (Reply([event(chunk({"content": "Half"})), event(b"{oops")]), "malformed"),
        (Reply([event(chunk({"content": "Half"})), b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n']), "malformed"),
        (
            Reply([event(chunk({"content": "Half"})), event({"error": {"message": "died", "type": "server_error"}})]),
            "server_error",
        ),
    ],
    ids=["early end", "bad json", "bad utf-8", "error object"],
)
async def test_a_broken_stream_is_never_a_short_answer(acme: Any, upstream: OpenAIUpstream, reply: Reply, code: str) -> None:
    upstream.script(reply)
    async with acme() as client:
        assert (await failure_of(client, ASK)).code == code


async def test_a_slow_reader_is_not_taken_for_a_silent_provider(acme: Any, upstream: OpenAIUpstream) -> None:
    gate = Gate()
    frames = says("ab", size=1).frames
    upstream.script(Reply([*frames[:2], gate, *frames[2:]]))
    async with acme(idle_s=1) as client, aclosing(client.stream(ASK)) as stream:
        assert await anext(stream) == [TextDelta(text="a")]
        limit_passed = asyncio.Event()
        asyncio.get_running_loop().call_later(1.1, limit_passed.set)
        await limit_passed.wait()
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
        failure = await failure_of(client, ASK)
    assert words in failure.message and failure.code == "connection", "another provider of the chain may answer"


def test_tls_where_there_is_none_is_said(acme: Any, upstream: OpenAIUpstream) -> None:
    async def failure_over_tls() -> ModelFailure:
        async with acme(base_url=upstream.base_url.replace("http:", "https:")) as client:
            return await failure_of(client, ASK)

    # Not on uvloop: there the failed handshake once surfaced in the test runner too, beside our own failure.
    failure = asyncio.run(failure_over_tls())
    assert "http instead of https" in failure.message
    assert not failure.retryable


def test_the_upstream_itself_starts_and_ends(openai_upstream: Callable[[], OpenAIUpstream]) -> None:
    assert openai_upstream().base_url != openai_upstream().base_url
