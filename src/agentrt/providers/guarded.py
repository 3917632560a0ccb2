"""A call behind the breaker of its model."""

from types import TracebackType
from typing import Self

from .client import Chunk, Done
from .errors import ModelFailure
from .standing import Standing

# The provider did answer, and would answer others: these say nothing against it.
_THE_CALLERS = frozenset({"content_filter", "context_length", "invalid_request"})


class Guarded:
    """The block of one call of `model`, which shows what it reads to `see`. Refuses at once while the breaker is open; where it
    is half open one call is the probe.

    `insists`: nobody else is left to ask, so it asks all the same, which counts for nothing. A call that is left before its
    end counts for nothing either.
    """

    def __init__(self, standing: Standing, model: str, *, insists: bool = False) -> None:
        self._standing, self._model, self._insists = standing, model, insists
        self._counts = self._probes = False
        self._well: bool | None = None

    def __enter__(self) -> Self:
        breaker = self._standing.breaker
        before = breaker.state
        self._counts = breaker.allow()
        self._standing.tell()
        if not self._counts and not self._insists:
            wait = breaker.retry_in()
            raise ModelFailure(
                f"{self._model} failed too often lately and is not asked now",
                code="circuit_open",
                retryable=True,
                retry_after_s=wait or None,
            )
        self._probes = self._counts and before == "open"
        return self

    def see(self, chunks: list[Chunk]) -> None:
        if self._probes:  # it speaks: that is all a probe asks, and others need not wait for its last word
            self._settle(True)
            self._probes = False
        if type(chunks[-1]) is Done:
            self._well = True

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(exc, ModelFailure):
            self._well = exc.code in _THE_CALLERS
        if self._counts:
            self._settle(self._well)

    def _settle(self, well: bool | None) -> None:
        breaker = self._standing.breaker
        if self._probes and well is None:
            breaker.release()
        elif well is not None and (self._probes or breaker.state == "closed"):  # else it began before the breaker opened
            breaker.record(well)
        self._standing.tell()
