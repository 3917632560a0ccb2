"""What an answer took that never became one: as the provider counted, else an estimate, and nothing where it refused."""

from typing import Any

import pytest

from agentrt.agents import Retry
from agentrt.messages import Usage
from agentrt.providers import ModelFailure, Providers, Retrying
from agentrt.providers.entry import ProviderEntry
from fixtures.wires import WIRES, collect
from upstreams import anthropic_upstream as anthropic
from upstreams import gemini_upstream as gemini
from upstreams import openai_upstream as openai
from upstreams.http_upstream import Reply, event, page

pytestmark = pytest.mark.anyio

NO_HEAD, NO_BODY = Reply(status=0, end="hang"), Reply(end="hang")


async def usage_of(acme: Any, wire: str, **limits: float) -> Usage:
    async with acme(**limits) as client:
        with pytest.raises(ModelFailure) as caught:
            await collect(client, WIRES[wire].asks("four bytes are a token"))
    return caught.value.usage


@pytest.mark.parametrize("carrier", ["native", "sdk"])
@pytest.mark.parametrize("reply", [NO_HEAD, NO_BODY, Reply([], end="cut"), Reply()], ids=["no head", "no body", "cut", "ended"])
async def test_a_model_that_was_at_work_is_not_taken_for_free(upstream: Any, acme: Any, wire: str, reply: Reply) -> None:
    upstream.script(reply)
    usage = await usage_of(acme, wire, first_token_s=0.3)
    assert usage.estimated and usage.input >= 6 and usage.output == 0


@pytest.mark.parametrize(
    "reply",
    [openai.refuses(529), openai.refuses(401), page(), Reply(status=0, end="cut"), Reply([event({"error": {"message": "no"}})])],
    ids=["529", "401", "page", "no answer", "an error at once"],
)
async def test_who_refused_took_nothing(upstream: Any, acme: Any, wire: str, reply: Reply) -> None:
    upstream.script(reply)
    assert await usage_of(acme, wire) == Usage()


async def test_an_address_where_nobody_is_took_nothing() -> None:
    entry = ProviderEntry(base_url="http://127.0.0.1:1/v1")
    async with Providers({"acme": entry}) as providers:
        with pytest.raises(ModelFailure) as caught:
            await collect(providers.client("acme", Retry(attempts=1)), WIRES["openai"].asks())
    assert caught.value.usage == Usage()


@pytest.mark.parametrize("wire", ["anthropic"])
async def test_what_the_provider_counted_before_it_broke_off_holds(upstream: Any, acme: Any, wire: str) -> None:
    upstream.script(anthropic.streams(anthropic.text(0, "four bytes are a token"), reason=None, end="cut"))
    usage = await usage_of(acme, wire)
    assert usage == Usage(input=11 + 3 + 4, output=6, cached=3, cache_write=4, estimated=True), "its first word is of one token"


@pytest.mark.parametrize("wire", ["gemini"])
async def test_a_count_that_grows_in_the_stream_is_not_lost(upstream: Any, acme: Any, wire: str) -> None:
    upstream.script(gemini.streams({"text": "Hi"}, end="reset"))
    usage = await usage_of(acme, wire)
    assert (usage.input, usage.output, usage.cached, usage.estimated) == (11, 7, 3, True)


async def test_reasoning_and_calls_that_arrived_are_counted(upstream: Any, acme: Any, wire: str) -> None:
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "four", "arguments": '{"a":1}'}}]}
    upstream.script(openai.streams({"reasoning_content": "x" * 40}, call, end="cut"))
    assert (await usage_of(acme, wire)).output == 10 + 3


async def test_each_attempt_that_is_made_again_says_what_it_took(upstream: Any, acme: Any, wire: str) -> None:
    upstream.script(NO_BODY, openai.refuses(503))
    async with acme(attempts=3, first_token_s=0.3) as client:
        chunks = await collect(client, WIRES[wire].asks())
    first, second = [chunk for chunk in chunks if isinstance(chunk, Retrying)]
    assert (first.code, first.usage.estimated, first.usage.input > 0) == ("timeout_first_token", True, True)
    assert (second.code, second.usage) == ("overloaded", Usage())


@pytest.mark.parametrize(
    "bare",
    [
        {"object": "error", "message": "engine died", "type": "InternalServerError", "param": None, "code": 500},
        {"message": "engine died", "type": "internal_server_error"},
        {"detail": "engine died"},
    ],
    ids=["vllm", "message", "detail"],
)
async def test_an_error_without_a_wrapper_is_no_end_of_an_answer(
    upstream: Any, acme: Any, wire: str, bare: dict[str, Any]
) -> None:
    upstream.script(Reply([*openai.says("Half an answer", end="hang").frames, event(bare), openai.DONE]))
    async with acme() as client:
        with pytest.raises(ModelFailure, match="engine died") as caught:
            await collect(client, WIRES[wire].asks())
    assert (caught.value.code, caught.value.retryable) == ("server_error", True)
