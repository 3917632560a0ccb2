"""Ollama's own API over a real connection, with real faults."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Usage
from agentrt.messages import says as message
from agentrt.providers import Chunk, Done, ModelAsk, ModelClient, ModelFailure, Providers, entries_from
from upstreams.http_upstream import Gate, Reply, page
from upstreams.ollama_upstream import NDJSON, OllamaUpstream, calls, last, line, piece, refuses, says

pytestmark = pytest.mark.anyio

ASK = ModelAsk(model="qwen3:4b", messages=(message("user", "Hi"),), call_prefix="call_abc")


@pytest.fixture
def upstream(start_upstream: Any) -> OllamaUpstream:
    return start_upstream(OllamaUpstream)


async def collect(client: ModelClient, ask: ModelAsk = ASK) -> list[Chunk]:
    return [chunk async for chunks in client.stream(ask) for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


async def failure_of(client: ModelClient, ask: ModelAsk = ASK) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await collect(client, ask)
    return caught.value


async def test_an_answer_arrives_whole(acme: Any, upstream: OllamaUpstream) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme(wire="ollama", api_key=None, num_ctx=16384) as client:
        first, second = await collect(client), await collect(client)
    assert text_of(first) == "Hello, world"
    assert first[-1] == Done(message=message("assistant", "Hello, world"), usage=Usage(11, 7), stop="stop", model="qwen3:4b")
    assert second[:2] == [
        ReasoningDelta(text="I need a tool."),
        ToolCallDelta(index=0, id="call_abc000", name="echo", arguments='{"text": "Hi"}'),
    ]
    request = upstream.chats[0]
    assert (request.method, request.path) == ("POST", "/api/chat")
    assert "authorization" not in request.headers
    assert request.body == {
        "model": "qwen3:4b",
        "stream": True,
        "options": {"num_ctx": 16384},
        "messages": [{"role": "user", "content": "Hi"}],
    }


async def test_a_hosted_one_gets_its_key(acme: Any, upstream: OllamaUpstream) -> None:
    async with acme(wire="ollama") as client:
        await collect(client)
    assert upstream.chats[0].headers["authorization"] == "Bearer sk-verysecret"


async def test_text_is_handed_on_as_it_arrives_even_where_a_read_ends_within_a_line(acme: Any, upstream: OllamaUpstream) -> None:
    gate = Gate()
    second = line(piece("ü"))
    upstream.script(Reply([line(piece("a")) + second[:70], gate, second[70:], line(last())], headers=NDJSON))
    async with acme(wire="ollama") as client, aclosing(client.stream(ASK)) as stream:
        assert await anext(stream) == [TextDelta(text="a")]
        gate.open()
        assert text_of([chunk async for chunks in stream for chunk in chunks]) == "ü"


async def test_closing_the_stream_hangs_up_at_once(acme: Any, upstream: OllamaUpstream) -> None:
    upstream.script(says("Never finished", end="hang"))
    async with acme(wire="ollama") as client:
        async with aclosing(client.stream(ASK)) as stream:
            await anext(stream)
        assert await asyncio.to_thread(upstream.chats[0].hung_up.wait, 5)


@pytest.mark.parametrize(
    "said", ["model 'qwen3:4b' not found", 'model "qwen3:4b" not found, try pulling it first', "model 'qwen3' not found"]
)
async def test_a_model_that_was_not_pulled_is_one_clear_sentence(acme: Any, upstream: OllamaUpstream, said: str) -> None:
    upstream.script(refuses(404, said))
    async with acme(wire="ollama") as client:
        failure = await failure_of(client)
    assert (failure.code, failure.status, failure.retryable) == ("not_found", 404, False)
    assert failure.message == "acme does not have the model qwen3:4b: run `ollama pull qwen3:4b` where it runs"


async def test_a_wrong_address_is_no_missing_model(acme: Any, upstream: OllamaUpstream) -> None:
    upstream.script(Reply([b"404 page not found"], 404, (("content-type", "text/plain"),)))
    async with acme(wire="ollama") as client:
        failure = await failure_of(client)
    assert failure.code == "not_found"
    assert "is it Ollama" in failure.message and "pull" not in failure.message


@pytest.mark.parametrize(
    ("reply", "code", "retryable"),
    [
        (refuses(400, "registry.ollama.ai/library/gemma:2b does not support tools"), "invalid_request", False),
        (refuses(400, '"qwen3" does not support thinking'), "invalid_request", False),
        (refuses(401, "unauthorized"), "authentication", False),
        (refuses(429, "too many requests"), "rate_limit", True),
        (refuses(500, "llama runner process has terminated: exit status 2"), "server_error", True),
        (refuses(503, "server busy, please try again. maximum pending requests exceeded"), "overloaded", True),
        (page(502), "server_error", True),
        (page(200), "malformed", False),
        (says("Half an answ", end="cut"), "connection", True),
        (says("Half an answ", end="reset"), "connection", True),
        (Reply([line(piece("Half"))], headers=NDJSON), "truncated", True),
        (Reply([], headers=NDJSON), "truncated", True),
        (Reply([line(piece("Half")), b"{oops\n"], headers=NDJSON), "malformed", False),
        (Reply([line(piece("Half")), b'{"message":{"content":"\xff"}}\n'], headers=NDJSON), "malformed", False),
        (Reply([line(piece("Half")), line({"error": "CUDA error: out of memory"})], headers=NDJSON), "server_error", True),
    ],
)
async def test_a_broken_answer_is_never_a_short_one(
    acme: Any, upstream: OllamaUpstream, reply: Reply, code: str, retryable: bool
) -> None:
    upstream.script(reply)
    async with acme(wire="ollama") as client:
        failure = await failure_of(client)
    assert (failure.code, failure.retryable) == (code, retryable)
    assert "acme" in failure.message


async def test_silence_has_an_end(acme: Any, upstream: OllamaUpstream) -> None:
    upstream.script(Reply(status=0, end="hang"), says("Half", end="hang"))
    async with acme(wire="ollama", first_token_s=0.15, idle_s=0.1) as client:
        assert [(await failure_of(client)).code for _ in range(2)] == ["timeout_first_token", "timeout_idle"]


async def test_one_that_does_not_stream_is_understood(acme: Any, upstream: OllamaUpstream) -> None:
    upstream.script(upstream.unstreamed(says("At once.")))
    async with acme(wire="ollama") as client:
        assert text_of(await collect(client)) == "At once."


async def test_the_connection_is_used_again_after_a_whole_answer(acme: Any, upstream: OllamaUpstream) -> None:
    async with acme(wire="ollama") as client:
        for _ in range(5):
            assert text_of(await collect(client)) == "Hello from upstream."
    assert upstream.connections <= 2  # the list of models is asked for at the same time


async def test_ollama_host_is_enough_and_bare_names_are_those_that_were_pulled(upstream: OllamaUpstream) -> None:
    host = upstream.base_url.removeprefix("http://")
    async with Providers(entries_from({"OLLAMA_HOST": host}, {})) as providers:
        await providers.listed(5)
        assert providers.resolve("qwen3:4b").name == "ollama/qwen3:4b"
        assert providers.resolve("llama3.2:latest").name == "ollama/llama3.2:latest"
        assert providers.resolve("mistral") is None
