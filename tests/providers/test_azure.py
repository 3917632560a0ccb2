"""Azure by its base URL: the version in the query, the key in a header of its own, and its filters in the stream."""

from typing import Any

import pytest

from agentrt.messages import says as message
from agentrt.providers import Done, ModelAsk, ModelFailure
from upstreams.openai_upstream import DONE, OpenAIUpstream, Reply, chunk, event, says

pytestmark = pytest.mark.anyio

DEPLOYMENT = "/openai/deployments/mine"
ASK = ModelAsk(model="gpt-4o", messages=(message("user", "Hi"),))
FILTERS = {"hate": {"filtered": False, "severity": "safe"}}
FIRST = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0}]}


@pytest.fixture
def deployment(upstream: OpenAIUpstream) -> str:
    """The address of the resource; a proxy is asked by the whole of it, which any server can play for http."""
    upstream.answer = lambda request: says("Yes.") if "/chat/completions?" in request.path else None
    return upstream.base_url.removesuffix("/v1")


async def answer(client: Any) -> Done:
    return [chunk async for chunks in client.stream(ASK) for chunk in chunks][-1]


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
async def test_a_deployment_is_asked_as_azure_wants_it(
    acme: Any, upstream: OpenAIUpstream, deployment: str, proxied: bool
) -> None:
    by = {"proxy": deployment} if proxied else {}
    async with acme(base_url=deployment + DEPLOYMENT, api_version="2024-10-21", **by) as client:
        assert (await answer(client)).message.text == "Yes."
    (asked,) = (request for request in upstream.requests if request.method == "POST")
    assert asked.path == (deployment if proxied else "") + f"{DEPLOYMENT}/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == "sk-verysecret" and "authorization" not in asked.headers


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
async def test_a_base_url_may_have_its_own_query_and_the_entry_its_own_header(
    acme: Any, upstream: OpenAIUpstream, deployment: str, proxied: bool
) -> None:
    entry = {
        "base_url": f"{deployment}{DEPLOYMENT}?api-version=preview",
        "api_key": None,
        "headers": {"api-key": "of-the-resource"},
    }
    async with acme(**entry, **({"proxy": deployment} if proxied else {})) as client:
        await answer(client)
    (asked,) = (request for request in upstream.requests if request.method == "POST")
    assert asked.path.endswith(f"{DEPLOYMENT}/chat/completions?api-version=preview")
    assert asked.headers["api-key"] == "of-the-resource"


async def test_filters_in_the_stream_are_no_part_of_the_answer(acme: Any, upstream: OpenAIUpstream) -> None:
    later = {"index": 0, "finish_reason": None, "content_filter_results": FILTERS, "content_filter_offsets": {"check_offset": 1}}
    frames = [FIRST, chunk({"content": "Yes."}), {"choices": [later], "id": "", "model": ""}, chunk({}, "content_filter")]
    upstream.script(Reply([*map(event, frames), DONE]))
    async with acme() as client:
        done = await answer(client)
    assert (done.message.text, done.stop, done.model) == ("Yes.", "content_filter", "gpt-4o-mini-2024-07-18")


async def test_a_filtered_prompt_is_said_to_be_one(acme: Any, upstream: OpenAIUpstream) -> None:
    error = b'{"error":{"message":"filtered","param":"prompt","code":"content_filter","status":400,"innererror":{}}}'
    upstream.script(Reply([error], 400, (("content-type", "application/json"),)))
    async with acme() as client:
        with pytest.raises(ModelFailure) as failed:
            await answer(client)
    assert (failed.value.code, failed.value.retryable) == ("content_filter", False)
