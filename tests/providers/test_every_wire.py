"""What holds on every wire, whether our own HTTP carries it or the official SDK: one suite for all of them."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from agentrt.events import TextDelta
from agentrt.providers import ModelAsk, ProviderEntry, Providers
from fixtures.wires import WIRES, collect, failure_of, text_of
from upstreams.http_upstream import Gate, Reply

pytestmark = pytest.mark.anyio

VOICES = [(name, carrier) for name, wire in WIRES.items() for carrier in ("native", "sdk") if wire.sdk or carrier == "native"]
NO_HEAD, NO_BODY = Reply(status=0, end="hang"), Reply(end="hang")


@pytest.fixture(params=VOICES, ids="-".join)
def voice(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def wire(voice: tuple[str, str]) -> str:
    return voice[0]


@pytest.fixture
def carrier(voice: tuple[str, str]) -> str:
    return voice[1]


@pytest.fixture
def says(wire: str) -> Callable[..., Reply]:
    return WIRES[wire].replies.says


@pytest.fixture
def ask(wire: str) -> ModelAsk:
    return WIRES[wire].asks()


def behind(reply: Reply, words: bytes) -> int:
    """How many frames there are up to the first with these words."""
    return next(place for place, frame in enumerate(reply.frames, 1) if isinstance(frame, bytes) and words in frame)


async def test_text_is_handed_on_as_it_arrives(acme: Any, upstream: Any, says: Any, ask: ModelAsk) -> None:
    gate, whole = Gate(), says("ÄQ", size=1)
    first = behind(whole, "Ä".encode())
    upstream.script(replace(whole, frames=[*whole.frames[:first], gate, *whole.frames[first:]]))
    async with acme() as client, aclosing(client.stream(ask)) as stream:
        assert await anext(stream) == [TextDelta(text="Ä")]
        gate.open()
        assert text_of([chunk async for chunks in stream for chunk in chunks]) == "Q"


async def test_connections_are_used_again(acme: Any, upstream: Any, ask: ModelAsk) -> None:
    async with acme() as client:
        for _ in range(5):
            assert text_of(await collect(client, ask)) == "Hello from upstream."
    assert upstream.connections <= 2  # the list of models is asked for at the same time


async def test_closing_the_stream_hangs_up_at_once(acme: Any, upstream: Any, says: Any, ask: ModelAsk) -> None:
    upstream.script(says("Never finished", end="hang"))
    async with acme() as client:
        async with aclosing(client.stream(ask)) as stream:
            await anext(stream)
        assert await asyncio.to_thread(upstream.chats[0].hung_up.wait, 30)


async def test_cancelling_the_reader_hangs_up_at_once(acme: Any, upstream: Any, ask: ModelAsk) -> None:
    upstream.script(NO_BODY)
    async with acme() as client:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(collect(client, ask))
            request = await asyncio.to_thread(upstream.wait_for_chat)
            reading.cancel()
        assert await asyncio.to_thread(request.hung_up.wait, 30)


async def test_an_answer_that_was_complete_survives_the_loss_of_its_end(
    acme: Any, upstream: Any, says: Any, ask: ModelAsk, wire: str
) -> None:
    whole = says("All.")
    upstream.script(replace(whole, frames=whole.frames[: behind(whole, WIRES[wire].last)], end="cut"))
    async with acme() as client:
        assert text_of(await collect(client, ask)) == "All."


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_half_an_answer_is_never_a_short_one(acme: Any, upstream: Any, says: Any, ask: ModelAsk, end: str) -> None:
    upstream.script(says("Half an answ", end=end))
    async with acme() as client:
        assert (await failure_of(client, ask)).code == "connection"


async def test_a_provider_that_does_not_stream_is_understood(acme: Any, upstream: Any, says: Any, ask: ModelAsk) -> None:
    upstream.script(upstream.unstreamed(says("At once.")))
    async with acme() as client:
        assert text_of(await collect(client, ask)) == "At once."


@pytest.mark.parametrize("reply", [NO_HEAD, NO_BODY], ids=["before the head", "before the first byte"])
async def test_silence_at_the_beginning_has_an_end(acme: Any, upstream: Any, ask: ModelAsk, reply: Reply) -> None:
    upstream.script(reply)
    async with acme(first_token_s=0.2) as client:
        failure = await failure_of(client, ask)
    assert (failure.code, failure.retryable) == ("timeout_first_token", True)
    assert failure.message == "acme did not begin to answer within 0.2 s"


async def test_silence_in_the_middle_has_an_end(acme: Any, upstream: Any, says: Any, ask: ModelAsk) -> None:
    upstream.script(says("Half", end="hang"))
    async with acme(idle_s=0.1) as client:
        failure = await failure_of(client, ask)
    assert (failure.code, failure.retryable) == ("timeout_idle", True)
    assert failure.message == "acme sent nothing for 0.1 s"


async def test_the_whole_answer_has_a_limit_too(acme: Any, upstream: Any, says: Any, ask: ModelAsk) -> None:
    upstream.script(says("x" * 4000, size=1, pause=0.01))
    async with acme(total_s=0.2) as client:
        failure = await failure_of(client, ask)
    assert (failure.code, failure.message) == ("timeout_total", "acme did not finish its answer within 0.2 s")


async def test_many_answers_at_once_do_not_mix(acme: Any, upstream: Any, says: Any, ask: ModelAsk) -> None:
    upstream.answer = lambda request: says("Hello from upstream." * 3)
    async with acme() as client, asyncio.TaskGroup() as group:
        running = [group.create_task(collect(client, ask)) for _ in range(50)]
    assert {text_of(task.result()) for task in running} == {"Hello from upstream." * 3}


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("body", [b'{"data":[{"id":"\xff"}],"models":[{"name":"\xff"}]}', b"[" * 100_000], ids=["utf-8", "deep"])
async def test_a_list_of_models_that_nobody_can_read_is_a_failure_like_others(
    upstream: Any, wire: Any, carrier: Any, body: bytes, status: int
) -> None:
    broken = Reply([body], status, (("content-type", "application/json"),))
    upstream.answer = lambda request: None if upstream.is_chat(request) else broken
    entry = ProviderEntry(wire=wire, client=carrier, base_url=upstream.base_url, api_key="k")
    async with Providers({"acme": entry}) as providers:
        await providers.listed(30)
        words = "does not list its models in" if status == 200 else "acme failed (500)"
        assert words in providers.health().detail["acme"]["reason"]
