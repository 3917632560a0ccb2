"""The breaker of a model, with a clock that tests move."""

from collections.abc import AsyncGenerator

import pytest

from agentrt.agents import Retry
from agentrt.bus import Bus, ProviderTripped
from agentrt.events import TextDelta
from agentrt.messages import Usage, says
from agentrt.providers import Chunk, Done, ModelAsk, ModelClient, ModelFailure
from agentrt.providers.retry import Retried
from agentrt.providers.standing import MOST, Standing, Standings

pytestmark = pytest.mark.anyio

ASK = ModelAsk(model="m")
DONE = Done(message=says("assistant", "Hi"), usage=Usage(), stop="stop")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Model:
    """Says Hi, or fails with `code`; `asked` counts."""

    def __init__(self) -> None:
        self.code, self.asked = "", 0

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        self.asked += 1
        if self.code:
            raise ModelFailure("no", code=self.code)
        yield [TextDelta(text="Hi")]
        yield [DONE]


def guarded(model: ModelClient, standing: Standing, *, insists: bool = False) -> AsyncGenerator[list[Chunk]]:
    """One attempt behind the breaker; who is the last one left insists."""
    return Retried(model, standing, Retry(attempts=1), others=not insists).stream(ASK)


class Scene:
    def __init__(self) -> None:
        self.clock, self.model, self.bus = Clock(), Model(), Bus()
        self.standings = Standings(self.bus, self.clock)

    @property
    def standing(self) -> Standing:
        return self.standings.of("acme", "m")

    async def ask(self, *, insists: bool = False) -> str:
        """How it ended. The reader leaves after the last chunk, as runs do."""
        try:
            async for chunks in guarded(self.model, self.standing, insists=insists):
                if chunks[-1] is DONE:
                    return "ok"
        except ModelFailure as failure:
            return failure.code
        return "cut"

    async def trip(self) -> None:
        self.model.code = "overloaded"
        assert [await self.ask() for _ in range(5)] == ["overloaded"] * 5


async def test_failures_open_the_breaker_and_then_nobody_is_asked() -> None:
    scene = Scene()
    with scene.bus.subscribe(ProviderTripped) as signals:
        await scene.trip()
        assert [await scene.ask() for _ in range(3)] == ["circuit_open"] * 3
        assert signals.pending() == [ProviderTripped("acme", "m", "open")]
    assert scene.model.asked == 5
    assert scene.standings.views("acme") == {"m": {"breaker": "open", "retry_in_s": 5.0}}
    assert not scene.standing.free


async def test_half_open_lets_one_probe_through_whose_first_word_closes_it() -> None:
    scene = Scene()
    await scene.trip()
    scene.clock.now += 5
    scene.model.code = ""
    assert scene.standing.free
    with scene.bus.subscribe(ProviderTripped) as signals:
        probe = guarded(scene.model, scene.standing)
        other = guarded(scene.model, scene.standing)
        first = await anext(probe)
        assert first == [TextDelta(text="Hi")]
        assert await anext(other) == first, "the probe has spoken: others need not wait for its last word"
        await probe.aclose()
        await other.aclose()
        assert [signal.state for signal in signals.pending()] == ["half_open", "closed"]
    assert scene.standings.views("acme") == {}


async def test_while_the_probe_has_not_answered_others_are_refused() -> None:
    scene = Scene()
    await scene.trip()
    scene.clock.now += 5
    assert scene.standing.breaker.allow()
    assert await scene.ask() == "circuit_open"
    assert scene.model.asked == 5


async def test_a_probe_that_fails_opens_it_for_twice_as_long() -> None:
    scene = Scene()
    await scene.trip()
    scene.clock.now += 5
    assert await scene.ask() == "overloaded"
    scene.clock.now += 9
    assert await scene.ask() == "circuit_open"
    scene.clock.now += 1
    scene.model.code = ""
    assert [await scene.ask(), await scene.ask()] == ["ok", "ok"]


async def test_a_probe_that_is_cancelled_leaves_the_next_one_to_probe() -> None:
    scene = Scene()
    await scene.trip()
    scene.clock.now += 5

    class Silent:
        async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
            raise GeneratorExit
            yield []

    with pytest.raises((GeneratorExit, RuntimeError)):
        await anext(guarded(Silent(), scene.standing))
    assert scene.standing.breaker.state == "open"
    scene.model.code = ""
    assert await scene.ask() == "ok"


@pytest.mark.parametrize("code", ["invalid_request", "context_length", "content_filter"])
async def test_the_callers_mistakes_say_nothing_against_the_provider(code: str) -> None:
    scene = Scene()
    scene.model.code = code
    assert [await scene.ask() for _ in range(20)] == [code] * 20
    assert scene.standing.well


async def test_readers_that_leave_count_for_nothing() -> None:
    scene = Scene()
    for _ in range(20):
        stream = guarded(scene.model, scene.standing)
        await anext(stream)
        await stream.aclose()
    scene.model.code = "server_error"
    assert [await scene.ask() for _ in range(6)] == [*["server_error"] * 5, "circuit_open"]


async def test_the_last_one_left_is_asked_all_the_same() -> None:
    scene = Scene()
    await scene.trip()
    scene.model.code = ""
    assert await scene.ask(insists=True) == "ok"
    assert scene.standing.breaker.state == "open", "and the probe decides"


async def test_a_rest_ends_and_is_never_longer_than_an_hour() -> None:
    scene = Scene()
    scene.standing.rest(30)
    scene.standing.rest(10)
    assert (scene.standing.rests_s, scene.standing.free) == (30, False)
    assert scene.standings.views("acme") == {"m": {"breaker": "closed", "rests_s": 30}}
    scene.clock.now += 30
    assert scene.standing.free
    scene.standing.rest(1e6)
    assert scene.standing.rests_s == 3600


async def test_only_the_unwell_are_remembered_for_ever() -> None:
    scene = Scene()
    await scene.trip()
    for n in range(2 * MOST):
        scene.standings.of("acme", f"model-{n}")
    assert scene.standing.breaker.state == "open"
    assert len(scene.standings._known) <= MOST + 1
