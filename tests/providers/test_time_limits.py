"""Four limits, each a setting and an error of its own; an agent's come before the provider's."""

from typing import Any

import pytest
from msgspec.structs import replace

from agentrt.agents import Limits
from fixtures.wires import WIRES, failure_of
from upstreams.openai_upstream import OpenAIUpstream, Reply, says

pytestmark = pytest.mark.anyio

ASK = WIRES["openai"].asks()


NO_HEAD, NO_BODY = Reply(status=0, end="hang"), Reply(end="hang")


@pytest.mark.parametrize(
    ("reply", "limits", "code", "words"),
    [
        (says("Hi"), Limits(connect=1e-6), "timeout_connect", "no connection within 1e-06 s"),
        (NO_HEAD, Limits(first_token=0.1), "timeout_first_token", "did not begin to answer within 0.1 s"),
        (NO_BODY, Limits(first_token=0.1), "timeout_first_token", "did not begin to answer within 0.1 s"),
        (says("Half", end="hang"), Limits(idle=0.1), "timeout_idle", "sent nothing for 0.1 s"),
        (says("x" * 400, size=1, pause=0.01), Limits(total=0.2), "timeout_total", "did not finish its answer within 0.2 s"),
        (NO_HEAD, Limits(total=0.1), "timeout_total", "did not finish its answer within 0.1 s"),
    ],
    ids=["connect", "no head", "no first byte", "silence", "endless", "no head within the whole time"],
)
async def test_each_limit_is_an_error_of_its_own(
    acme: Any, upstream: OpenAIUpstream, reply: Reply, limits: Limits, code: str, words: str
) -> None:
    upstream.script(reply)
    async with acme() as client:
        failure = await failure_of(client, replace(ASK, limits=limits))
    assert (failure.code, failure.retryable) == (code, True)
    assert words in failure.message


async def test_what_an_agent_leaves_open_is_as_the_provider_has_it(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(says("Half", end="hang"))
    async with acme(idle_s=0.1) as client:
        assert (await failure_of(client, replace(ASK, limits=Limits(first_token=20)))).code == "timeout_idle"


async def test_an_agent_may_be_more_patient_than_its_provider(acme: Any, upstream: OpenAIUpstream) -> None:
    upstream.script(says("Hi there", size=4, pause=0.2))
    async with acme(idle_s=0.05) as client:
        chunks = [chunk async for read in client.stream(replace(ASK, limits=Limits(idle=20, first_token=20))) for chunk in read]
    assert chunks[-1].message.text == "Hi there"
