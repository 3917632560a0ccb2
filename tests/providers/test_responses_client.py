"""The Responses API's client against a real server with real faults, by our own HTTP and by the official SDK."""

from typing import Any

import pytest

from agentrt.events import ToolCallDelta
from agentrt.messages import Message, Text, ToolResult
from agentrt.messages import says as said
from agentrt.providers import ModelAsk, ModelInfo, ProviderEntry, Providers, entries_from
from fixtures.wires import WIRES, collect, done_of, failure_of, text_of
from upstreams.http_upstream import Reply, page
from upstreams.responses_upstream import (
    MODEL,
    ResponsesUpstream,
    call,
    calls,
    ending,
    event,
    message,
    reasoning,
    refuses,
    says,
    streams,
)

pytestmark = pytest.mark.anyio

ASK = WIRES["openai_responses"].asks()
HALF = streams(message("Half an answer"), status=None).frames


@pytest.fixture
def wire() -> str:
    return "openai_responses"


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_an_answer_arrives_whole(acme: Any, upstream: ResponsesUpstream) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        first, second = await collect(client, ASK), await collect(client, ASK)
    assert text_of(first) == "Hello, world"
    assert (done_of(first).stop, done_of(first).model, done_of(first).usage.cached) == ("stop", MODEL, 3)
    assert [(c.id, c.name) for c in second if isinstance(c, ToolCallDelta) and c.id] == [("call_abc000", "echo")]
    request = upstream.chats[0]
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-verysecret"
    assert request.headers["content-type"] == "application/json"


async def test_what_it_kept_goes_back_to_it_word_for_word(acme: Any, upstream: ResponsesUpstream) -> None:
    items = (reasoning("I look."), message("One moment.", phase="commentary"), call(2, "echo", '{"text":  "ä"}'))
    upstream.script(streams(*items), says("Done."))
    async with acme() as client:
        answer = done_of(await collect(client, ASK)).message
        results = Message("tool", (ToolResult(answer.calls[0].id, (Text("ä"),)),))
        await collect(client, ModelAsk(model="gpt-5.5", messages=(*ASK.messages, answer, results)))
    label = {name: value for name, value in items[1].items() if name != "content"}
    assert upstream.chats[1].body["input"][1:] == [
        items[0],
        label | {"content": [{"type": "output_text", "text": "One moment.", "annotations": []}]},
        items[2],
        {"type": "function_call_output", "call_id": "call_up2", "output": "ä"},
    ]


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ("Your organization must be verified to generate reasoning summaries.", "summary"),
        ("Encrypted content is not supported with this model.", "include"),
    ],
)
async def test_what_an_account_does_not_have_is_not_asked_for_again(
    acme: Any, upstream: ResponsesUpstream, words: str, gone: str
) -> None:
    upstream.script(refuses(400, words))
    async with acme() as client:
        for _ in range(2):
            assert text_of(await collect(client, ASK)) == "Hello from upstream."
    asked = [str(chat.body) for chat in upstream.chats]
    assert [f"'{gone}'" in each for each in asked] == [True, False, False]


@pytest.mark.parametrize(
    "words",
    [
        "The encrypted content gAAA... could not be verified.",
        "Item 'rs_up' of type 'reasoning' was provided without its required following item.",
    ],
)
async def test_reasoning_that_is_not_recognised_is_left_out(acme: Any, upstream: ResponsesUpstream, words: str) -> None:
    upstream.script(streams(reasoning("Hm."), message("Yes.")), refuses(400, words))
    async with acme() as client:
        answer = done_of(await collect(client, ASK)).message
        again = ModelAsk(model="gpt-5.5", messages=(*ASK.messages, answer, said("user", "Sure?")))
        assert text_of(await collect(client, again)) == "Hello from upstream."
    kinds = [[item["type"] for item in chat.body["input"]] for chat in upstream.chats]
    assert kinds[1:] == [["message", "reasoning", "message", "message"], ["message", "message", "message"]]


async def test_other_refusals_are_not_argued_with(acme: Any, upstream: ResponsesUpstream) -> None:
    upstream.script(refuses(400, "reasoning is not the word: 'reasoning'"))
    async with acme() as client:
        assert (await failure_of(client, ASK)).code == "invalid_request"
    assert len(upstream.chats) == 1


@pytest.mark.parametrize(
    ("reply", "code", "status", "retryable"),
    [
        (refuses(400, "too long", "context_length_exceeded"), "context_length", 400, False),
        (refuses(401, "Incorrect API key provided: sk-verysecret"), "authentication", 401, False),
        (refuses(404, "no such model"), "not_found", 404, False),
        (refuses(429, "slow down", retry_after="7"), "rate_limit", 429, True),
        (refuses(500), "server_error", 500, True),
        (refuses(503), "overloaded", 503, True),
        (page(200), "malformed", 200, False),
        (page(502), "server_error", 502, True),
    ],
)
async def test_refusals_are_told_apart(
    acme: Any, upstream: ResponsesUpstream, reply: Reply, code: str, status: int, retryable: bool
) -> None:
    upstream.script(reply)
    async with acme() as client:
        failure = await failure_of(client, ASK)
    assert (failure.code, failure.status, failure.retryable) == (code, status, retryable)
    assert (failure.retry_after_s == 7) is (code == "rate_limit")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(HALF), "truncated"),
        (Reply([*HALF, b"data: {oops\n\n"]), "malformed"),
        (Reply([*HALF, b'data: {"type":"response.output_text.delta","delta":"\xff"}\n\n']), "malformed"),
        (Reply([*HALF, event({"type": "error", "code": "rate_limit_exceeded", "message": "slow"})]), "rate_limit"),
        (Reply([*HALF, event(ending("failed", (), error={"code": "server_error", "message": "died"}))]), "server_error"),
    ],
    ids=["early end", "bad json", "bad utf-8", "error event", "failed"],
)
async def test_a_broken_stream_is_never_a_short_answer(acme: Any, upstream: ResponsesUpstream, reply: Reply, code: str) -> None:
    upstream.script(reply)
    async with acme() as client:
        assert (await failure_of(client, ASK)).code == code


async def test_the_models_of_an_address_are_listed(upstream: ResponsesUpstream, carrier: Any) -> None:
    entry = ProviderEntry(wire="openai_responses", client=carrier, base_url=upstream.base_url, api_key="k")
    async with Providers({"acme": entry}) as providers:
        await providers.listed(30)
        assert ModelInfo(MODEL, "acme") in providers.models()


def test_openai_itself_can_be_asked_so_with_the_key_that_is_there() -> None:
    env = {"OPENAI_API_KEY": "sk-verysecret", "OPENAI_BASE_URL": "https://proxy.example/v1"}
    entry = entries_from(env, {"openai": ProviderEntry(wire="openai_responses")})["openai"]
    assert (entry.wire, entry.api_key, entry.url) == ("openai_responses", "sk-verysecret", "https://proxy.example/v1")
    assert entry.claims("gpt-5.5")
