"""A client behind the breaker of its model."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from .client import Chunk, Done, ModelAsk, ModelClient
from .errors import ModelFailure
from .standing import Standing

# The provider did answer, and would answer others: these say nothing against it.
_THE_CALLERS = frozenset({"content_filter", "context_length", "invalid_request"})


class Guarded:
    """Refuses at once while the breaker is open; where it is half open one call is the probe.

    `insists`: nobody else is left to ask, so it asks all the same, which counts for nothing. A call that is closed before its
    end counts for nothing either.
    """

    def __init__(self, client: ModelClient, standing: Standing, *, insists: bool = False) -> None:
        self._client, self._standing, self._insists = client, standing, insists

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        breaker = self._standing.breaker
        before = breaker.state
        counts = breaker.allow()
        self._standing.tell()
        if not counts and not self._insists:
            wait = breaker.retry_in()
            raise ModelFailure(
                f"{ask.model} failed too often lately and is not asked now",
                code="circuit_open",
                retryable=True,
                retry_after_s=wait or None,
            )
        probes = counts and before == "open"
        well: bool | None = None
        try:
            async with aclosing(self._client.stream(ask)) as chunks_read:
                async for chunks in chunks_read:
                    if probes:  # it speaks: that is all a probe asks, and others need not wait for its last word
                        self._settle(True, probes)
                        probes = False
                    if type(chunks[-1]) is Done:
                        well = True
                    yield chunks
        except ModelFailure as failure:
            well = failure.code in _THE_CALLERS
            raise
        finally:
            if counts:
                self._settle(well, probes)

    def _settle(self, well: bool | None, probes: bool) -> None:
        breaker = self._standing.breaker
        if probes and well is None:
            breaker.release()
        elif well is not None and (probes or breaker.state == "closed"):  # else it began before the breaker opened
            breaker.record(well)
        self._standing.tell()
