"""What models the providers with an address of their own serve: asked behind a server that already runs."""

import asyncio

import structlog

from agentrt.kernel import delay

from .client import ProviderClient
from .errors import ModelFailure

log = structlog.get_logger()

_AGAIN_S = 300.0


class Listing:
    """Keeps the model ids of one provider; `failure` is why they could not be had the last time, `changes` counts how often
    the list has become another."""

    def __init__(self, provider: str, client: ProviderClient) -> None:
        self._provider, self._client = provider, client
        self.models: tuple[str, ...] = ()
        self.changes = 0
        self.failure: ModelFailure | None = None
        self.asked = asyncio.Event()

    @property
    def unwell(self) -> bool:
        """Whether the provider itself seems to fail, rather than just to have no list."""
        return self.failure is not None and self.failure.code not in ("not_found", "invalid_request", "malformed")

    async def keep(self) -> None:
        """Ask now and again for ever: soon after a failure, every five minutes otherwise."""
        failures = 0
        while True:
            failures = 0 if await self._ask() else failures + 1
            self.asked.set()
            await asyncio.sleep(delay(failures, base=5, most=60) if failures else _AGAIN_S)

    async def _ask(self) -> bool:
        try:
            models = tuple(await self._client.models())
        except ModelFailure as failure:
            if self.failure is None or failure.message != self.failure.message:
                log.warning("models.not_listed", provider=self._provider, reason=failure.message)
            self.failure = failure
            return False
        self.failure = None
        self.changes += models != self.models
        self.models = models
        log.debug("models.listed", provider=self._provider, count=len(self.models))
        return True
