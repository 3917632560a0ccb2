"""Gemini's own API over a real connection, with real faults."""

from typing import Any

import pytest

from agentrt.agents import Retry
from agentrt.messages import Usage
from agentrt.providers import Done, ModelAsk, ModelFailure, ProviderEntry, Providers
from fixtures.wires import WIRES, collect, failure_of, text_of
from upstreams.gemini_upstream import GeminiUpstream, calls, event, piece, quota, refuses, retry_in, says, streams
from upstreams.http_upstream import Reply, page

pytestmark = pytest.mark.anyio

ASK = WIRES["gemini"].asks()
SSE = (("content-type", "text/event-stream"),)


@pytest.fixture
def wire() -> str:
    return "gemini"


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_an_answer_arrives_whole(acme: Any, upstream: GeminiUpstream) -> None:
    upstream.script(says("Hello, world"), calls(("echo", {"text": "Hi"})))
    async with acme() as client:
        first, second = await collect(client, ASK), await collect(client, ASK)
    assert text_of(first) == "Hello, world"
    last = first[-1]
    assert isinstance(last, Done)
    assert (last.usage, last.stop, last.model) == (Usage(11, 7, 3, 2), "stop", "gemini-3-flash-preview")
    assert second[-1].message.calls[0].id == "call_abc000"
    request = upstream.chats[0]
    assert (request.method, request.path) == ("POST", "/v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse")
    assert request.headers["x-goog-api-key"] == "sk-verysecret"
    assert "authorization" not in request.headers
    assert request.body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


@pytest.mark.parametrize(
    ("more", "model", "path"),
    [
        ("", "gemini-x", "/v1alpha/models/gemini-x"),
        ("", "tunedModels/mine", "/v1alpha/tunedModels/mine"),
        ("/v1beta", "gemini-x", "/v1beta/models/gemini-x"),
        (
            "/v1/projects/p/locations/l/publishers/google",
            "gemini-x",
            "/v1/projects/p/locations/l/publishers/google/models/gemini-x",
        ),
        ("/proxy/", "a?b#c d", "/proxy/v1alpha/models/a%3Fb%23c%20d"),
    ],
)
async def test_the_version_leads_the_path_unless_the_address_holds_one(
    acme: Any, upstream: GeminiUpstream, more: str, model: str, path: str
) -> None:
    ask = ModelAsk(model=model, messages=ASK.messages)
    async with acme(api_version="v1alpha", base_url=upstream.base_url + more) as client:
        await collect(client, ask)
    assert upstream.chats[0].path == f"{path}:streamGenerateContent?alt=sse"


async def test_a_model_name_leads_nowhere_else(acme: Any, upstream: GeminiUpstream) -> None:
    async with acme() as client:
        for name in ("../../v1/files", "models/../x", "models//x", ".."):
            assert (await failure_of(client, ModelAsk(model=name, messages=ASK.messages))).code == "not_found"
    assert upstream.chats == []


@pytest.mark.parametrize("wrapped", [False, True], ids=["object", "array"])
@pytest.mark.parametrize(
    ("status", "named", "said", "code", "retryable"),
    [
        (400, "INVALID_ARGUMENT", "Invalid value at 'contents'", "invalid_request", False),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "context_length",
            False,
        ),
        (401, "UNAUTHENTICATED", "Request had invalid credentials: sk-verysecret", "authentication", False),
        (403, "PERMISSION_DENIED", "denied", "permission", False),
        (404, "NOT_FOUND", "models/x is not found for API version v1beta", "not_found", False),
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", "rate_limit", True),
        (500, "INTERNAL", "An internal error has occurred.", "server_error", True),
        (503, "UNAVAILABLE", "The model is overloaded.", "overloaded", True),
        (504, "DEADLINE_EXCEEDED", "too slow", "server_error", True),
    ],
)
async def test_a_refusal_is_one_clear_sentence(
    acme: Any, upstream: GeminiUpstream, wrapped: bool, status: int, named: str, said: str, code: str, retryable: bool
) -> None:
    upstream.script(refuses(status, said, named, wrapped=wrapped))
    async with acme() as client:
        failure = await failure_of(client, ASK)
    assert (failure.code, failure.status, failure.retryable) == (code, status, retryable)
    assert said.replace("sk-verysecret", "[removed]") in failure.message


async def test_a_key_that_is_not_valid_is_no_bad_request(acme: Any, upstream: GeminiUpstream) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
    upstream.script(refuses(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", info))
    async with acme() as client:
        assert (await failure_of(client, ASK)).code == "authentication"


async def test_how_long_to_wait_is_read_from_the_details(acme: Any, upstream: GeminiUpstream) -> None:
    upstream.script(refuses(429, "quota", "RESOURCE_EXHAUSTED", {"@type": "other"}, retry_in("37.5s")))
    async with acme() as client:
        assert (await failure_of(client, ASK)).retry_after_s == 37.5


@pytest.mark.parametrize(
    ("spent", "attempts"),
    [
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", 1),
        ("GenerateContentInputTokensPerModelPerMinute-FreeTier", 2),
    ],
)
async def test_a_quota_of_the_day_is_not_waited_for(acme: Any, upstream: GeminiUpstream, spent: str, attempts: int) -> None:
    upstream.script(*[refuses(429, "quota", "RESOURCE_EXHAUSTED", quota(spent), retry_in("0.01s"))] * 2)
    async with acme(attempts=2) as client:
        with pytest.raises(ModelFailure) as caught:
            await collect(client, ASK)
    assert (caught.value.code, caught.value.retryable) == ("rate_limit", attempts == 2)
    assert caught.value.retry_after_s == (None if attempts == 1 else 0.01)
    assert len(upstream.chats) == attempts


async def test_a_web_page_says_how_the_address_should_look(acme: Any, upstream: GeminiUpstream) -> None:
    upstream.script(page(200), page(404))
    async with acme() as client:
        for _ in range(2):
            message = (await failure_of(client, ASK)).message
            assert message.endswith("its base URL usually has no path, as in https://generativelanguage.googleapis.com")


async def test_a_passing_failure_is_tried_again(acme: Any, upstream: GeminiUpstream) -> None:
    upstream.script(refuses(503, "overloaded", "UNAVAILABLE"), refuses(429, "slow", "RESOURCE_EXHAUSTED", retry_in("0s")))
    async with acme(attempts=3) as client:
        assert text_of(await collect(client, ASK)) == "Hello from upstream."
    assert len(upstream.chats) == 3


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (streams({"text": "Half an answ"}, finish=None), "truncated"),
        (Reply([], headers=SSE), "truncated"),
        (Reply([event(piece({"text": "Half"})), event(b"{oops")], headers=SSE), "malformed"),
        (Reply([event(piece({"text": "Half"})), event(b'{"modelVersion":"\xff"}')]), "malformed"),
        (
            Reply([event(piece({"text": "Half"})), event({"error": {"code": 503, "message": "died", "status": "UNAVAILABLE"}})]),
            "overloaded",
        ),
        (Reply([event({"promptFeedback": {"blockReason": "SAFETY"}})], headers=SSE), "content_filter"),
        (page(200), "malformed"),
        (page(404), "not_found"),
        (page(502), "server_error"),
    ],
    ids=[
        "early end", "nothing", "bad json", "bad utf-8", "error object", "blocked", "page", "404", "502",
    ],
)  # fmt: skip
async def test_a_broken_answer_is_never_a_short_one(acme: Any, upstream: GeminiUpstream, reply: Reply, code: str) -> None:
    upstream.script(reply)
    async with acme() as client:
        assert (await failure_of(client, ASK)).code == code


async def test_the_models_are_listed_page_by_page_without_what_cannot_answer(upstream: GeminiUpstream) -> None:
    entry = ProviderEntry(wire="gemini", base_url=upstream.base_url, api_key="k")
    async with Providers({"acme": entry}) as providers:
        await providers.listed(30)
        assert [model.name for model in providers.models() if model.provider == "acme"] == [
            "acme/gemini-3-flash-preview",
            "acme/gemini-2.5-pro",
        ]
        assert providers.resolve("gemini-2.5-pro").name == "acme/gemini-2.5-pro"
        assert text_of(await collect(providers.client("acme", Retry()), ASK)) == "Hello from upstream."
