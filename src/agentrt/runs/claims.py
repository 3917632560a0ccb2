"""Idempotency keys: what one was used for, within a day."""

import asyncio
from weakref import WeakValueDictionary

from agentrt.kernel import Clock, Conflict, Invalid, Principal

from .store import Claim, RunTable

CLAIM_US = 24 * 3600 * 1_000_000
MAX_KEY = 255


class Claims:
    """`turn` must be held from `find` until the run that bears the key is recorded: its first event is the claim."""

    def __init__(self, table: RunTable, clock: Clock) -> None:
        self._table, self._clock = table, clock
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def turn(self, who: Principal, key: str) -> asyncio.Lock:
        return self._turns.setdefault((who.tenant, key), asyncio.Lock())

    async def find(self, who: Principal, key: str, body_hash: str) -> Claim | None:
        """The run that this key stands for already. Conflict where that was another body."""
        claim = await self._table.claim(who.tenant, key, self._clock.now_us() - CLAIM_US)
        if claim is not None and claim.body_hash != body_hash:
            raise Conflict("this Idempotency-Key was used with another body", code="idempotency_mismatch")
        return claim

    async def sweep(self) -> None:
        """Forget keys that are older than a day."""
        await self._table.forget_claims(self._clock.now_us() - CLAIM_US)


def checked(key: str) -> str:
    """Invalid for a key that is too long."""
    if len(key) > MAX_KEY:
        raise Invalid(f"an Idempotency-Key has at most {MAX_KEY} characters", code="idempotency_key_too_long")
    return key
