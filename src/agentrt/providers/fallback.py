"""The models of a chain as one client: where one fails, the next is asked."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from msgspec.structs import replace

from agentrt.agents import ModelEntry, Retry
from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Text, Usage, says

from .abilities import Abilities
from .capacity import takes_prefix
from .choice import Choice
from .client import Chunk, Done, ModelAsk, ModelClient, Retrying
from .entry import ProviderEntry
from .errors import ModelFailure
from .estimate import tokens_asked, tokens_of
from .in_form import UNSATISFIED, in_form
from .retry import Retried
from .standing import Standing

# The fault lies in what was asked, and every model would be asked the same; a refusal is an answer too.
_STAYS = frozenset({"content_filter", "invalid_request"})
_PASSED_OVER = frozenset({"circuit_open", "cooling_down"})
# A provider that says this is left alone for as long as it says.
_BUSY = frozenset({"overloaded", "rate_limit"})


class Candidate(msgspec.Struct, frozen=True):
    """A model that may be asked: what the chain and the settings say of it, who speaks to it, how it stands."""

    choice: Choice
    leg: ModelEntry
    provider: ProviderEntry
    speaker: Callable[[], ModelClient]
    standing: Standing
    abilities: Callable[[], Abilities] = Abilities

    @property
    def context(self) -> int | None:
        return self.abilities().context_tokens

    @property
    def takes_prefix(self) -> bool:
        return takes_prefix(self.provider, self.choice.model)

    def rest_after(self, failure: ModelFailure) -> None:
        """Leave it alone for as long as it asks, or the chain says."""
        if failure.code in _STAYS | _PASSED_OVER | {"context_length", UNSATISFIED}:
            return
        asked = failure.retry_after_s if failure.code in _BUSY else None
        self.standing.rest(max(asked or 0.0, self.leg.cooldown or 0.0))


class Fallback:
    """Asks the `candidates` for a request in their order, each as often as `retry` says unless the chain says otherwise.

    Before anything was shown, the next one simply takes over. After that what was shown is void, unless the one that failed
    is to be continued and the next one can: then it goes on from the text, and the whole is one message.
    """

    def __init__(self, candidates: Callable[[ModelAsk], list[Candidate]], retry: Retry) -> None:
        self._candidates, self._retry = candidates, retry

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        left = self._candidates(ask)
        prefix = ""
        while True:
            candidate, *left = left
            attempt = _Attempt(candidate, ask, prefix)
            try:
                if left and candidate.standing.rests_s and any(other.standing.free for other in left):
                    raise _resting(candidate)
                client = in_form(self._client(candidate, bool(left)), candidate.provider, candidate.abilities, attempt.ask)
                async with aclosing(client.stream(attempt.ask)) as chunks_read:
                    async for chunks in chunks_read:
                        if seen := attempt.see(chunks):
                            yield seen
                return
            except ModelFailure as failure:
                candidate.rest_after(failure)
                left = _able(candidate, left, failure)
                if not left:
                    raise
                goes_on = attempt.can_be_continued and left[0].takes_prefix and failure.code != UNSATISFIED
                prefix = attempt.text if goes_on else ""
                failed = attempt.failed(failure, left[0].choice.name, kept=prefix)
            yield [failed]

    def _client(self, candidate: Candidate, others: bool) -> ModelClient:
        return Retried(candidate.speaker(), candidate.standing, candidate.leg.retry or self._retry, others=others)


class _Attempt:
    """What one model was asked, and what of its answer was shown. `prefix` is the text that it goes on from."""

    def __init__(self, candidate: Candidate, ask: ModelAsk, prefix: str) -> None:
        self._candidate, self._prefix = candidate, prefix
        self._began = time.perf_counter()
        self._number = 1
        self._pieces: list[str] = []
        self._reasoned = self._called = False
        if prefix:
            ask = replace(ask, messages=(*ask.messages, says("assistant", prefix)))
        self.ask = ask if ask.model == candidate.choice.model else replace(ask, model=candidate.choice.model)
        # Trailing white space is not sent to a model that goes on, so it says it again.
        self._trims = prefix != prefix.rstrip()

    @property
    def text(self) -> str:
        """All the text that is shown, from the beginning of the answer."""
        return self._prefix + "".join(self._pieces)

    @property
    def shown(self) -> bool:
        return bool(self._prefix or self._pieces or self._reasoned or self._called)

    @property
    def can_be_continued(self) -> bool:
        # who shows nothing of its own only hands on what another was allowed to leave behind
        allowed = self._candidate.leg.continue_ or not (self._pieces or self._reasoned)
        return allowed and not self._called and not (self.text or " ").isspace()

    def see(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks as they are to be handed on, possibly none."""
        if self._trims:
            chunks = self._trimmed(chunks)
        for chunk in chunks:
            kind = type(chunk)
            if kind is TextDelta:
                self._pieces.append(chunk.text)  # type: ignore[union-attr]
            elif kind is ReasoningDelta:
                self._reasoned = True
            elif kind is ToolCallDelta:
                self._called = True
            elif isinstance(chunk, Done):
                return [*chunks[:-1], self._whole(chunk)]
            elif isinstance(chunk, Retrying):
                return [self._again(chunk)]
        return chunks

    def failed(self, failure: ModelFailure, following: str, *, kept: str) -> Retrying:
        passed_over = failure.code in _PASSED_OVER
        said = "".join(self._pieces)
        began = said or self._reasoned or self._called
        cost = Usage(tokens_asked(self.ask), tokens_of(said), estimated=True) if began else Usage()
        if failure.usage.total:
            cost = failure.usage
        return Retrying(
            attempt=0 if passed_over else self._number,
            code=failure.code,
            message=failure.message,
            wait_s=0.0,
            duration_ms=0.0 if passed_over else max(0.0, (time.perf_counter() - self._began) * 1000),
            provider=self._candidate.choice.provider,
            model=self._candidate.choice.model,
            next=following,
            voids=self.shown and not kept,
            kept=len(kept),
            usage=cost,
        )

    def _again(self, retrying: Retrying) -> Retrying:
        self._number = retrying.attempt + 1
        self._began = time.perf_counter() + retrying.wait_s
        if retrying.voids:
            self._pieces.clear()
            self._reasoned = self._called = False
        choice = self._candidate.choice
        return replace(retrying, provider=choice.provider, model=choice.model, kept=len(self._prefix))

    def _trimmed(self, chunks: list[Chunk]) -> list[Chunk]:
        out: list[Chunk] = []
        for chunk in chunks:
            if isinstance(chunk, TextDelta) and not self._pieces and not any(isinstance(c, TextDelta) for c in out):
                chunk = TextDelta(text=chunk.text.lstrip())
                if not chunk.text:
                    continue
            out.append(chunk)
        return out

    def _whole(self, done: Done) -> Done:
        name = self._candidate.choice.name
        if not self._prefix:
            return replace(done, answered_by=name)
        parts = list(done.message.parts)
        if self._trims and (at := next((i for i, part in enumerate(parts) if isinstance(part, Text)), None)) is not None:
            parts[at] = Text(parts[at].text.lstrip())  # type: ignore[union-attr]
        message = Message("assistant", (Text(self._prefix), *parts))
        return replace(done, message=message, answered_by=name)


def _able(failed: Candidate, left: list[Candidate], failure: ModelFailure) -> list[Candidate]:
    """Who of those left can be asked after this failure, in order. A request that is too long goes to a model that is known
    to read more, or else to one of which nothing is known."""
    if failure.code in _STAYS:
        return []
    if failure.code != "context_length" or failed.context is None:
        return left
    sizes = [(candidate, candidate.context) for candidate in left]
    larger = [candidate for candidate, size in sizes if size is not None and size > failed.context]
    return larger or [candidate for candidate, size in sizes if size is None]


def _resting(candidate: Candidate) -> ModelFailure:
    return ModelFailure(
        f"{candidate.choice.name} asked to be left alone for another {candidate.standing.rests_s:.0f} s",
        code="cooling_down",
        retryable=True,
        retry_after_s=candidate.standing.rests_s,
    )
