"""Ollama's own API over a real connection, with real faults."""

from contextlib import aclosing
from typing import Any

import pytest

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Usage
from agentrt.messages import says as message
from agentrt.providers import Done, Providers, entries_from
from fixtures.wires import WIRES, collect, failure_of, text_of
from upstreams.http_upstream import Gate, Reply, page
from upstreams.ollama_upstream import NDJSON, OllamaUpstream, calls, last, line, piece, refuses, says

pytestmark = pytest.mark.anyio

ASK = WIRES["ollama"].asks()


@pytest.fixture
def wire() -> str:
    return "ollama"


async def test_an_answer_arrives_whole(acme: Any, upstream: OllamaUpstream) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme(api_key=None, num_ctx=16384) as client:
        first, second = await collect(client, ASK), await collect(client, ASK)
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
    async with acme() as client:
        await collect(client, ASK)
    assert upstream.chats[0].headers["authorization"] == "Bearer sk-verysecret"


async def test_text_is_handed_on_as_it_arrives_even_where_a_read_ends_within_a_line(acme: Any, upstream: OllamaUpstream) -> None:
    gate = Gate()
    second = line(piece("ü"))
    upstream.script(Reply([line(piece("a")) + second[:70], gate, second[70:], line(last())], headers=NDJSON))
    async with acme() as client, aclosing(client.stream(ASK)) as stream:
        assert await anext(stream) == [TextDelta(text="a")]
        gate.open()
        assert text_of([chunk async for chunks in stream for chunk in chunks]) == "ü"


@pytest.mark.parametrize(
    "said", ["model 'qwen3:4b' not found", 'model "qwen3:4b" not found, try pulling it first', "model 'qwen3' not found"]
)
async def test_a_model_that_was_not_pulled_is_one_clear_sentence(acme: Any, upstream: OllamaUpstream, said: str) -> None:
    upstream.script(refuses(404, said))
    async with acme() as client:
        failure = await failure_of(client, ASK)
    assert (failure.code, failure.status, failure.retryable) == ("not_found", 404, False)
    assert failure.message == "acme does not have the model qwen3:4b: run `ollama pull qwen3:4b` where it runs"


async def test_a_wrong_address_is_no_missing_model(acme: Any, upstream: OllamaUpstream) -> None:
    upstream.script(Reply([b"404 page not found"], 404, (("content-type", "text/plain"),)))
    async with acme() as client:
        failure = await failure_of(client, ASK)
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
    async with acme() as client:
        failure = await failure_of(client, ASK)
    assert (failure.code, failure.retryable) == (code, retryable)
    assert "acme" in failure.message


async def test_ollama_host_is_enough_and_bare_names_are_those_that_were_pulled(upstream: OllamaUpstream) -> None:
    host = upstream.base_url.removeprefix("http://")
    async with Providers(entries_from({"OLLAMA_HOST": host}, {})) as providers:
        await providers.listed(30)
        assert providers.resolve("qwen3:4b").name == "ollama/qwen3:4b"
        assert providers.resolve("llama3.2:latest").name == "ollama/llama3.2:latest"
        assert providers.resolve("mistral") is None
