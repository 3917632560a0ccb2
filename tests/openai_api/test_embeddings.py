"""Embeddings through the real server, with the real SDK."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from upstreams.openai_upstream import OpenAIUpstream, Reply, Request, refuses

JSON = (("content-type", "application/json"),)
NUMBERS = [0.25, -1.5, 3.0]


def embedded(request: Request, usage: bool = True) -> Reply | None:
    """What OpenAI answers: numbers, or their bytes."""
    if not request.path.endswith("/embeddings"):
        return None
    given = request.body["input"]
    texts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    packed: Any = NUMBERS
    if request.body.get("encoding_format") == "base64":
        packed = base64.b64encode(struct.pack("<3f", *NUMBERS)).decode()
    body: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": packed} for i in range(len(texts))],
        "model": request.body["model"],
    }
    if usage:
        body["usage"] = {"prompt_tokens": 8, "total_tokens": 8}
    return Reply([json.dumps(body).encode()], headers=JSON)


@pytest.fixture
def embeds(upstream: OpenAIUpstream) -> Iterator[OpenAIUpstream]:
    upstream.answer = embedded
    yield upstream
    upstream.answer = lambda request: None


@pytest.fixture
def api(server: Any) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url) as api:
        yield api


@pytest.mark.parametrize("model", ["text-embedding-3-small", "openai/text-embedding-3-small"])
def test_the_sdk_gets_its_numbers_as_it_asks_for_them_by_default(client: openai.OpenAI, embeds: OpenAIUpstream, model: str):
    answer = client.embeddings.create(model=model, input=["one", "two"], user="ann", dimensions=3)
    assert [one.embedding for one in answer.data] == [NUMBERS, NUMBERS]
    assert (answer.usage.total_tokens, answer.model) == (8, "text-embedding-3-small")
    (sent,) = [request.body for request in embeds.requests if request.path.endswith("/embeddings")]
    assert sent == {
        "model": "text-embedding-3-small",
        "input": ["one", "two"],
        "user": "ann",
        "dimensions": 3,
        "encoding_format": "base64",
    }


@pytest.mark.parametrize("given", ["a text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_every_form_of_input_passes_through_and_numbers_stay_numbers(client: openai.OpenAI, embeds: OpenAIUpstream, given: Any):
    answer = client.embeddings.create(model="text-embedding-3-small", input=given, encoding_format="float")
    assert answer.data[0].embedding == NUMBERS
    assert embeds.requests[-1].body["input"] == given


def test_it_is_a_run_of_one_step_with_its_usage_and_cost_and_without_the_text(
    client: openai.OpenAI, api: httpx2.Client, embeds: OpenAIUpstream
):
    raw = client.embeddings.with_raw_response.create(model="text-embedding-3-small", input="a secret", user="ann")
    assert float(raw.headers["x-agentrt-cost-usd"]) == 8 * 0.02e-6
    assert float(raw.headers["x-agentrt-overhead-ms"]) >= 0
    run = api.get(f"/runs/{raw.headers['x-run-id']}").json()
    assert (run["status"], run["mode"], run["agent"], run["model"]) == (
        "completed",
        "interactive",
        "passthrough",
        "text-embedding-3-small",
    )
    assert (run["usage"]["input_tokens"], run["usage"]["output_tokens"], run["cost_usd"]) == (8, 0, 1.6e-7)
    (step,) = api.get(f"/runs/{run['id']}/steps").json()["data"]
    assert (step["type"], step["status"], step["cost_usd"]) == ("model", "completed", 1.6e-7)
    events = api.get(f"/runs/{run['id']}/events").text
    assert "secret" not in events and "event: run_completed" in events
    assert api.get(f"/sessions/{run['session_id']}").status_code == 200


def test_a_provider_that_does_not_count_is_counted_for(client: openai.OpenAI, api: httpx2.Client, embeds: OpenAIUpstream):
    embeds.answer = lambda request: embedded(request, usage=False)
    raw = client.embeddings.with_raw_response.create(model="local-model", input=["twelve bytes", [1, 2, 3]][:1])
    assert "x-agentrt-cost-usd" not in raw.headers
    run = api.get(f"/runs/{raw.headers['x-run-id']}").json()
    assert (run["usage"]["input_tokens"], run["usage"]["estimated"], run["cost_usd"]) == (3, True, None)


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"{", 400, None, "invalid_json"),
        (b"[]", 400, None, "invalid_type"),
        (b'{"input": "x"}', 400, "model", "missing_required_parameter"),
        (b'{"model": "text-embedding-3-small"}', 400, "input", "missing_required_parameter"),
        (b'{"model": "text-embedding-3-small", "input": ""}', 400, "input", "invalid_value"),
        (b'{"model": "text-embedding-3-small", "input": []}', 400, "input", "invalid_value"),
        (b'{"model": "text-embedding-3-small", "input": ["a", ""]}', 400, "input", "invalid_value"),
        (b'{"model": "text-embedding-3-small", "input": ["a", 1]}', 400, "input", "invalid_type"),
        (b'{"model": "text-embedding-3-small", "input": 5}', 400, "input", "invalid_type"),
        (b'{"model": "text-embedding-3-small", "input": "x", "dimensions": 0}', 400, "dimensions", "invalid_value"),
        (b'{"model": "text-embedding-3-small", "input": "x", "encoding_format": "hex"}', 400, "encoding_format", "invalid_value"),
        (b'{"model": "nobody-knows", "input": "x"}', 404, "model", "model_not_found"),
        (b'{"model": "helper", "input": "x"}', 404, "model", "model_not_found"),
        (b'{"model": "offline/offline", "input": "x"}', 400, "model", "unsupported_model"),
        (b'{"model": "claude-sonnet-4-5", "input": "x"}', 400, "model", "provider_not_configured"),
    ],
)
def test_what_cannot_be_used_is_named(
    api: httpx2.Client, embeds: OpenAIUpstream, body: bytes, status: int, param: str, code: str
):
    answer = api.post("/v1/embeddings", content=body, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code), error
    assert not embeds.requests


def test_a_key_that_would_give_the_same_answer_again_is_ignored_with_notice(client: openai.OpenAI, embeds: OpenAIUpstream):
    raw = client.embeddings.with_raw_response.create(
        model="text-embedding-3-small", input="x", extra_headers={"Idempotency-Key": "k"}
    )
    assert raw.headers["x-agentrt-ignored"] == "Idempotency-Key"


def test_a_body_that_is_not_declared_as_json_is_refused(api: httpx2.Client):
    answer = api.post("/v1/embeddings", content=b'{"model": "m", "input": "x"}', headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_a_provider_that_fails_is_told_as_for_a_chat_and_recorded(
    client: openai.OpenAI, api: httpx2.Client, embeds: OpenAIUpstream
):
    embeds.answer = lambda request: refuses(429, "slow down", "rate_limit", retry_after="77")
    with pytest.raises(openai.RateLimitError) as caught:
        client.embeddings.create(model="text-embedding-3-small", input="x")
    assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("rate_limit_exceeded", "77")
    run = api.get("/runs?limit=1").json()["data"][0]
    assert (run["status"], run["error"]["code"], run["cost_usd"]) == ("failed", "rate_limit", 0.0)
    embeds.answer = lambda request: Reply([b'{"object": "list"}'], headers=JSON)
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model="text-embedding-3-small", input="x")
