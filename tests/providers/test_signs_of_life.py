"""What ends the waits for an answer: its own events do, what only keeps the line warm does not."""

from typing import Any

import pytest

from agentrt.providers import ModelFailure
from agentrt.providers.anthropic_response import AnthropicReader
from agentrt.providers.openai_response import OpenAIReader
from agentrt.providers.responses_response import ResponsesReader
from fixtures.wires import WIRES, collect
from upstreams import anthropic_upstream as anthropic
from upstreams import openai_upstream as openai
from upstreams.http_upstream import Reply, event

pytestmark = pytest.mark.anyio

# More than any of these tests wants to wait for.
WARM: list[Any] = [b": keep-alive\n\n", 0.02] * 1500
PINGS: list[Any] = [anthropic.event(anthropic.PING), 0.02] * 1500


async def code_of(acme: Any, wire: str, **limits: float) -> str:
    async with acme(**limits) as client:
        with pytest.raises(ModelFailure) as caught:
            await collect(client, WIRES[wire].asks())
    return caught.value.code


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        ("openai", Reply(WARM)),
        ("anthropic", Reply([anthropic.event(anthropic.start()), *PINGS])),
        ("openai_responses", Reply([event({"type": "response.created"}), event({"type": "response.queued"}), *WARM])),
    ],
    ids=["comments", "a beginning and pings", "a place in a queue"],
)
async def test_a_provider_that_is_there_has_not_begun_to_answer(upstream: Any, acme: Any, wire: str, reply: Reply) -> None:
    upstream.script(reply)
    assert await code_of(acme, wire, first_token_s=0.3) == "timeout_first_token"


@pytest.mark.parametrize("carrier", ["native", "sdk"])
async def test_comments_do_not_make_a_silence_shorter(upstream: Any, acme: Any, wire: str) -> None:
    upstream.script(Reply([*openai.says("Half", end="hang").frames, *WARM]))
    assert await code_of(acme, wire, idle_s=0.3) == "timeout_idle"


def test_a_model_that_thinks_in_silence_is_at_work_and_its_pings_count() -> None:
    reader = AnthropicReader("acme", WIRES["anthropic"].asks())
    reader.feed(anthropic.event(anthropic.start()))
    assert reader.moved and not reader.begun
    reader.feed(anthropic.event(anthropic.thinking(0)[0]))
    assert reader.moved and reader.begun
    reader.feed(anthropic.event(anthropic.PING))
    assert reader.moved


def test_an_item_of_the_responses_api_is_a_beginning() -> None:
    reader = ResponsesReader("acme", WIRES["openai_responses"].asks())
    reader.feed(event({"type": "response.in_progress"}))
    assert not reader.begun
    reader.feed(event({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}}))
    assert reader.begun


def test_half_an_event_says_nothing_yet() -> None:
    reader = OpenAIReader("acme", WIRES["openai"].asks())
    reader.feed(b'data: {"choices":')
    assert not reader.moved
    reader.feed(b"[]}\n\n")
    assert reader.moved
