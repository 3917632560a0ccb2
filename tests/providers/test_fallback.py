"""A chain of scripted models: who is asked after whom, what is void, what goes on, and what every attempt leaves behind."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from agentrt.agents import ModelEntry, Retry
from agentrt.bus import Bus
from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Text, ToolCall, Usage, says
from agentrt.providers import Choice, Chunk, Done, ModelAsk, ModelFailure, ProviderEntry, Retrying
from agentrt.providers.abilities import Abilities
from agentrt.providers.fallback import Candidate, Fallback
from agentrt.providers.standing import Standings

pytestmark = pytest.mark.anyio

ASK = ModelAsk(model="", messages=(says("user", "Tell me."),))
FALLS = ["overloaded", "rate_limit", "server_error", "connection", "malformed", "timeout", "timeout_connect", "timeout_total"]
DOWN_FOR_US = ["authentication", "permission", "not_found"]


def done(text: str, *calls: ToolCall) -> Done:
    parts = (*((Text(text),) if text else ()), *calls)
    return Done(message=Message("assistant", parts), usage=Usage(3, 2), stop="stop", model="itself")


def shows(text: str) -> list[Chunk]:
    return [TextDelta(text=text)]


def answers(*pieces: str) -> list[Any]:
    return [*map(shows, pieces), [done("".join(pieces))]]


def fails(code: str = "overloaded", *, retryable: bool = False, retry_after_s: float | None = None) -> ModelFailure:
    return ModelFailure(f"it failed: {code}", code=code, retryable=retryable, retry_after_s=retry_after_s)


class Scripted:
    """Each call goes through the next script; `asks` is what it was asked."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts, self.asks = list(scripts), list[ModelAsk]()

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        self.asks.append(ask)
        for step in self.scripts.pop(0):
            if isinstance(step, ModelFailure):
                raise step
            yield step


class Cast:
    """A chain of models, each `(provider entry, what the chain says, its scripts)` under the name `p/<letter>`."""

    def __init__(self, *roles: tuple[dict[str, Any], dict[str, Any], list[list[Any]]]) -> None:
        self.now = 100.0
        self._standings = Standings(Bus(), lambda: self.now)
        self.models = [Scripted(*scripts) for _, _, scripts in roles]
        self._roles = roles

    def candidates(self, ask: ModelAsk) -> list[Candidate]:
        return [self._candidate(at) for at in range(len(self._roles))]

    def _candidate(self, at: int) -> Candidate:
        provider, said, _ = self._roles[at]
        name = "abcdef"[at]
        leg = ModelEntry(model=f"p/{name}", **said)
        known = Abilities(context_tokens=provider.get("contexts", {}).get("*"))
        return Candidate(
            Choice("p", name),
            leg,
            ProviderEntry(**provider),
            lambda: self.models[at],
            self._standings.of("p", name),
            lambda: known,
        )

    async def play(self, attempts: int = 1) -> tuple[list[Chunk], ModelFailure | None]:
        seen: list[Chunk] = []
        try:
            async for chunks in Fallback(self.candidates, Retry(attempts=attempts, backoff=0)).stream(ASK):
                assert chunks, "never an empty batch"
                seen += chunks
        except ModelFailure as failure:
            return seen, failure
        return seen, None


def chain(*scripts: list[Any], provider: dict[str, Any] | None = None, **said: Any) -> Cast:
    """Models with one script each; `provider` and `said` hold for all of them."""
    return Cast(*((provider or {}, said, [script]) for script in scripts))


def story(chunks: list[Chunk]) -> list[str]:
    """The chunks as short words."""
    words = []
    for chunk in chunks:
        match chunk:
            case TextDelta(text=text):
                words.append(text)
            case Retrying(model=model, attempt=attempt, code=code, next=following, voids=voids):
                words.append(f"{model}{attempt} {code} -> {following or 'again'}{' void' if voids else ''}")
            case Done(answered_by=by, message=message):
                words.append(f"{by}: {message.text}")
            case _:
                words.append(type(chunk).__name__)
    return words


async def test_the_first_that_answers_answers() -> None:
    cast = chain(answers("Hi"), answers("never"))
    seen, failure = await cast.play()
    assert (story(seen), failure) == (["Hi", "p/a: Hi"], None)
    assert [len(model.asks) for model in cast.models] == [1, 0]
    assert cast.models[0].asks[0].model == "a"


@pytest.mark.parametrize("code", FALLS + DOWN_FOR_US + ["truncated"])
async def test_a_failure_before_the_first_word_hands_over_and_is_told(code: str) -> None:
    seen, failure = await chain([fails(code)], answers("Hi")).play()
    assert (story(seen), failure) == ([f"a1 {code} -> p/b", "Hi", "p/b: Hi"], None)
    assert isinstance(seen[0], Retrying)
    assert (seen[0].provider, seen[0].message, seen[0].usage) == ("p", f"it failed: {code}", Usage())


@pytest.mark.parametrize("code", ["content_filter", "invalid_request"])
async def test_a_refusal_of_what_was_asked_is_the_answer(code: str) -> None:
    seen, failure = await chain([fails(code)], answers("never")).play()
    assert (seen, failure and failure.code) == ([], code)


async def test_a_models_own_retries_come_first() -> None:
    cast = Cast(({}, {}, [[fails(retryable=True)], [fails(retryable=True)]]), ({}, {}, [answers("Hi")]))
    seen, _ = await cast.play(attempts=2)
    assert story(seen) == ["a1 overloaded -> again", "a2 overloaded -> p/b", "Hi", "p/b: Hi"]


async def test_the_chain_may_say_how_often_each_is_asked() -> None:
    cast = Cast(({}, {"retry": Retry(attempts=1)}, [[fails(retryable=True)]]), ({}, {}, [answers("Hi")]))
    seen, _ = await cast.play(attempts=9)
    assert story(seen) == ["a1 overloaded -> p/b", "Hi", "p/b: Hi"]


async def test_where_all_fail_the_last_one_speaks() -> None:
    seen, failure = await chain([fails("rate_limit")], [fails("server_error")], [fails("connection")]).play()
    assert story(seen) == ["a1 rate_limit -> p/b", "b1 server_error -> p/c"]
    assert failure is not None and failure.code == "connection"


async def test_what_was_shown_is_void_when_the_next_starts_over_and_its_cost_is_known() -> None:
    cast = chain([shows("Half of "), fails("connection")], answers("All."))
    seen, failure = await cast.play()
    assert (story(seen), failure) == (["Half of ", "a1 connection -> p/b void", "All.", "p/b: All."], None)
    broken = seen[1]
    assert isinstance(broken, Retrying) and broken.usage.estimated and broken.usage.output == 2 and broken.usage.input > 0
    assert cast.models[1].asks[0].messages == ASK.messages


@pytest.mark.parametrize("chunk", [ReasoningDelta(text="hm"), ToolCallDelta(index=0, id="c", name="pay")])
async def test_reasoning_and_calls_that_were_shown_are_void_too(chunk: Chunk) -> None:
    seen, _ = await chain([[chunk], fails("connection")], answers("All.")).play()
    assert story(seen)[1:] == ["a1 connection -> p/b void", "All.", "p/b: All."]


async def test_the_last_one_that_breaks_off_leaves_what_it_showed() -> None:
    seen, failure = await chain([fails()], [shows("Half"), fails("connection")]).play()
    assert story(seen) == ["a1 overloaded -> p/b", "Half"]
    assert failure is not None and failure.code == "connection"


async def test_the_next_goes_on_from_the_text_where_the_chain_says_so_and_the_whole_is_one_message() -> None:
    cast = chain([shows("Once upon"), fails("connection")], answers(" a time."), provider={"prefix": True}, continue_=True)
    seen, _ = await cast.play()
    assert story(seen) == ["Once upon", "a1 connection -> p/b", " a time.", "p/b: Once upon a time."]
    assert cast.models[1].asks[0].messages[-1] == says("assistant", "Once upon")


async def test_white_space_at_the_seam_is_there_once() -> None:
    script = [shows("One, "), fails("connection")]
    cast = chain(script, [shows(" "), shows(" two"), [done("  two")]], provider={"prefix": True}, continue_=True)
    seen, _ = await cast.play()
    assert story(seen)[-2:] == ["two", "p/b: One, two"]


async def test_a_text_may_be_gone_on_with_twice_and_is_void_as_a_whole() -> None:
    goes_on = {"prefix": True}
    cast = Cast(
        (goes_on, {"continue_": True}, [[shows("A"), fails("connection")]]),
        (goes_on, {"continue_": True}, [[shows("B"), fails("connection")]]),
        (goes_on, {}, [[fails("connection")]]),
        ({}, {}, [answers("All.")]),
    )
    seen, _ = await cast.play()
    assert story(seen)[:4] == ["A", "a1 connection -> p/b", "B", "b1 connection -> p/c"]
    assert story(seen)[4:] == ["c1 connection -> p/d void", "All.", "p/d: All."]
    assert cast.models[2].asks[0].messages[-1] == says("assistant", "AB")
    assert cast.models[3].asks[0].messages == ASK.messages


@pytest.mark.parametrize("after_rest", [False, True], ids=["it fails at once", "it is passed over"])
async def test_one_that_shows_nothing_leaves_the_text_of_another_to_be_gone_on_with(after_rest: bool) -> None:
    goes_on = {"prefix": True}
    breaks, rests = [shows("A "), fails("connection")], [fails("rate_limit", retry_after_s=30)]
    cast = Cast(
        (goes_on, {"continue_": True}, [[fails()], breaks] if after_rest else [breaks]),
        (goes_on, {}, [rests]),
        (goes_on, {}, [answers("All."), answers("B")] if after_rest else [answers("B")]),
    )
    if after_rest:
        await cast.play()
    seen, _ = await cast.play()
    told = "b0 cooling_down" if after_rest else "b1 rate_limit"
    assert story(seen) == ["A ", "a1 connection -> p/b", f"{told} -> p/c", "B", "p/c: A B"]
    assert [chunk.kept for chunk in seen if isinstance(chunk, Retrying)] == [2, 2]
    assert cast.models[2].asks[-1].messages[-1] == says("assistant", "A ")


@pytest.mark.parametrize(
    ("provider", "first"),
    [
        ({}, [shows("Half")]),
        ({"prefix": True}, [shows("Half"), [ToolCallDelta(index=0, id="c", name="pay")]]),
        ({"prefix": True}, [shows("  ")]),
        ({"prefix": True}, [[ReasoningDelta(text="hm")]]),
    ],
    ids=["the next takes no prefix", "a call was begun", "nothing but white space", "no text"],
)
async def test_what_cannot_be_gone_on_with_is_void(provider: dict[str, Any], first: list[Any]) -> None:
    cast = chain([*first, fails("connection")], answers("All."), provider=provider, continue_=True)
    seen, _ = await cast.play()
    assert story(seen)[-3:] == ["a1 connection -> p/b void", "All.", "p/b: All."]
    assert cast.models[1].asks[0].messages == ASK.messages


@pytest.mark.parametrize(
    ("sizes", "then"),
    [
        ([100, 100, 200], "p/c"),
        ([100, None, 200], "p/c"),
        ([100, 50, None], "p/c"),
        ([None, 50, 200], "p/b"),
        ([200, 100, 100], None),
    ],
)
async def test_a_request_that_is_too_long_goes_to_a_model_that_reads_more(sizes: list[int | None], then: str | None) -> None:
    scripts = [[fails("context_length")], answers("Hi"), answers("Hi")]
    cast = Cast(*(({"contexts": {"*": size}} if size else {}, {}, [script]) for size, script in zip(sizes, scripts, strict=True)))
    seen, failure = await cast.play()
    if then is None:
        assert failure is not None and failure.code == "context_length"
    else:
        assert story(seen)[0] == f"a1 context_length -> {then}" and failure is None


async def test_one_that_asks_to_be_left_alone_is_passed_over_until_then() -> None:
    cast = Cast(
        ({}, {}, [[fails("rate_limit", retryable=True, retry_after_s=30)], answers("Again.")]),
        ({}, {}, [answers("Hi"), answers("Ho")]),
    )
    first, _ = await cast.play(attempts=3)
    assert story(first) == ["a1 rate_limit -> p/b", "Hi", "p/b: Hi"], "nobody waits 30 s while another can be asked"
    second, _ = await cast.play()
    assert story(second) == ["a0 cooling_down -> p/b", "Ho", "p/b: Ho"]
    cast.now += 30
    third, _ = await cast.play()
    assert story(third) == ["Again.", "p/a: Again."]


async def test_a_cooldown_of_the_chain_follows_any_failure_and_holds_only_while_another_can_be_asked() -> None:
    cast = Cast(
        ({}, {"cooldown": 30}, [[fails("server_error")], answers("I again.")]),
        ({}, {"cooldown": 30}, [[fails("server_error")]]),
    )
    _, failure = await cast.play()
    assert failure is not None
    seen, _ = await cast.play()
    assert story(seen) == ["I again.", "p/a: I again."]


async def test_an_open_breaker_is_passed_over_at_once_unless_it_is_the_last() -> None:
    down = [[fails("server_error")] for _ in range(5)]
    cast = Cast(({}, {}, [*down, answers("never")]), ({}, {}, [*[answers("Hi")] * 5, [fails("server_error")], answers("Ho")]))
    for _ in range(5):
        await cast.play()
    seen, failure = await cast.play()
    assert story(seen) == ["a0 circuit_open -> p/b"]
    assert failure is not None and failure.code == "server_error"
    assert len(cast.models[0].asks) == 5
    seen, _ = await cast.play()
    assert story(seen) == ["a0 circuit_open -> p/b", "Ho", "p/b: Ho"]


async def test_leaving_closes_the_model_that_is_asked() -> None:
    closed = []

    class Endless:
        async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
            try:
                while True:
                    yield shows("x")
            finally:
                closed.append(ask.model)

    cast = chain([])
    cast.models[0] = Endless()  # pyright: ignore[reportCallIssue]
    stream = Fallback(cast.candidates, Retry()).stream(ASK)
    await anext(stream)
    await stream.aclose()
    assert closed == ["a"]
