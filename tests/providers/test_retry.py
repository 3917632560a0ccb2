from collections.abc import AsyncGenerator, Iterable

import pytest

from agentrt.agents import Retry
from agentrt.bus import Bus
from agentrt.events import TextDelta
from agentrt.messages import Usage, says
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure, Retrying
from agentrt.providers.retry import Retried
from agentrt.providers.standing import Standing, Standings

pytestmark = pytest.mark.anyio

ASK = ModelAsk(model="m")
DONE = Done(message=says("assistant", "Hi"), usage=Usage(), stop="stop")


class Scripted:
    """A model that goes through attempts: each a list of what is read, ending with a failure or not."""

    def __init__(self, *attempts: list[list[Chunk] | ModelFailure]) -> None:
        self._attempts = iter(attempts)
        self.closed = 0

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        try:
            for read in next(self._attempts):
                if isinstance(read, ModelFailure):
                    raise read
                yield read
        finally:
            self.closed += 1


def fails(code: str = "overloaded", *, retryable: bool = True, retry_after_s: float | None = None) -> ModelFailure:
    return ModelFailure("acme is overloaded (503)", code=code, status=503, retryable=retryable, retry_after_s=retry_after_s)


def well() -> Standing:
    return Standings(Bus()).of("acme", "m")


async def story(model: Scripted, attempts: int = 3) -> tuple[list[Chunk], ModelFailure | None]:
    seen: list[Chunk] = []
    try:
        async for chunks in Retried(model, well(), Retry(attempts=attempts, backoff=0)).stream(ASK):
            seen += chunks
    except ModelFailure as failure:
        return seen, failure
    return seen, None


def waits(chunks: Iterable[Chunk]) -> list[tuple[int, float]]:
    return [(chunk.attempt, chunk.wait_s) for chunk in chunks if isinstance(chunk, Retrying)]


async def test_a_passing_failure_is_tried_again_and_every_attempt_is_visible() -> None:
    model = Scripted([fails()], [fails(retry_after_s=0.01)], [[TextDelta(text="Hi")], [DONE]])
    seen, failure = await story(model)
    assert failure is None
    assert [type(chunk).__name__ for chunk in seen] == ["Retrying", "Retrying", "TextDelta", "Done"]
    assert waits(seen) == [(1, 0.0), (2, 0.01)]
    assert model.closed == 3


async def test_the_last_attempt_speaks() -> None:
    seen, failure = await story(Scripted([fails()], [fails("server_error")]), attempts=2)
    assert waits(seen) == [(1, 0.0)]
    assert failure is not None and failure.code == "server_error"


async def test_a_failure_that_will_not_pass_is_not_tried_again() -> None:
    seen, failure = await story(Scripted([fails("authentication", retryable=False)]))
    assert (seen, failure and failure.code) == ([], "authentication")


async def test_nothing_is_tried_again_once_something_was_shown() -> None:
    seen, failure = await story(Scripted([[TextDelta(text="Half")], fails("connection")]))
    assert seen == [TextDelta(text="Half")]
    assert failure is not None and failure.code == "connection"


async def test_a_pause_that_nobody_would_wait_for_fails_at_once_and_says_so() -> None:
    seen, failure = await story(Scripted([fails(retry_after_s=300)]))
    assert seen == []
    assert failure is not None
    assert "asks to wait 300 s" in failure.message
    assert (failure.retry_after_s, failure.retryable) == (300, False)


async def test_the_pause_grows_and_is_bounded() -> None:
    model = Retried(Scripted(), well(), Retry(attempts=10, backoff=1))
    for attempt, most in ((1, 1), (2, 2), (3, 4), (9, 60)):
        assert most / 2 <= model._pause(attempt, fails()) <= most
    assert model._pause(1, fails(retry_after_s=5)) == 5
