import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from agentrt.agents import Retry
from agentrt.kernel import delay

from .client import Chunk, ModelAsk, ModelClient, Retrying
from .errors import ModelFailure
from .guarded import Guarded
from .standing import Standing

# A provider that wants a longer pause gets no second attempt: nobody waits that long in front of a screen.
LONGEST_WAIT_S = 60.0
LONGEST_WAIT_BEFORE_OTHERS_S = 5.0
# Another attempt at the same model would end the same way.
_AT_ONCE = frozenset({"circuit_open"})


class Retried:
    """Asks again when an attempt failed before anything of it was shown and the failure may pass; each attempt is `Guarded` by
    how the model stands.

    The pause grows from `retry.backoff` and is never shorter than what the provider asked for. Who has `others` to ask waits
    for no long one, and does not insist.
    """

    def __init__(self, client: ModelClient, standing: Standing, retry: Retry, *, others: bool = False) -> None:
        self._client, self._standing, self._retry, self._others = client, standing, retry, others
        self._longest_s = LONGEST_WAIT_BEFORE_OTHERS_S if others else LONGEST_WAIT_S

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        for attempt in range(1, self._retry.attempts + 1):
            began, shown = time.perf_counter(), False
            try:
                with Guarded(self._standing, ask.model, insists=not self._others) as call:
                    async with aclosing(self._client.stream(ask)) as chunks_read:
                        async for chunks in chunks_read:
                            shown = True
                            call.see(chunks)
                            yield chunks
                return
            except ModelFailure as failure:
                if shown or attempt == self._retry.attempts or not failure.retryable or failure.code in _AT_ONCE:
                    raise
                wait = self._pause(attempt, failure)
                again = Retrying(
                    attempt=attempt,
                    code=failure.code,
                    message=failure.message,
                    wait_s=wait,
                    duration_ms=(time.perf_counter() - began) * 1000,
                    usage=failure.usage,
                )
            yield [again]
            await asyncio.sleep(wait)

    def _pause(self, attempt: int, failure: ModelFailure) -> float:
        """Seconds; the failure itself where the provider asks for too many."""
        asked = failure.retry_after_s or 0.0
        if asked > self._longest_s:
            raise ModelFailure(
                f"{failure.message} (it asks to wait {asked:.0f} s, longer than the {self._longest_s:.0f} s that a run waits)",
                code=failure.code,
                status=failure.status,
                retry_after_s=asked,
                usage=failure.usage,
            ) from failure
        backoff = self._retry.backoff
        return max(asked, delay(attempt, base=backoff, most=LONGEST_WAIT_S) if backoff else 0.0)
