"""How each model has done lately: its breaker, and until when it asked to be left alone."""

import time
from collections.abc import Callable
from typing import Any

import structlog

from agentrt.bus import Bus, ProviderTripped
from agentrt.kernel import Breaker, BreakerState

log = structlog.get_logger()

# Callers may name any model: those that do well are forgotten beyond this number.
MOST = 1000
# A provider that asks for a longer rest is asked again after this one all the same.
LONGEST_REST_S = 3600.0


class Standing:
    """Of one model of one provider. `moved` is told when its breaker changes its state."""

    def __init__(self, clock: Callable[[], float], moved: Callable[[BreakerState], None]) -> None:
        self.breaker = Breaker(clock=clock)
        self._clock, self._moved = clock, moved
        self._told: BreakerState = "closed"
        self._rests_until = 0.0

    @property
    def well(self) -> bool:
        return self.breaker.state == "closed" and not self.rests_s

    @property
    def rests_s(self) -> float:
        """Seconds for which it should not be asked, if another can be; 0 when it can."""
        return max(0.0, self._rests_until - self._clock())

    @property
    def free(self) -> bool:
        """Whether a call could be made now."""
        return not self.rests_s and self.breaker.state != "half_open" and not self.breaker.retry_in()

    def rest(self, seconds: float) -> None:
        """It asked to be left alone for so long."""
        self._rests_until = max(self._rests_until, self._clock() + min(seconds, LONGEST_REST_S))

    def tell(self) -> None:
        """Say so where the breaker's state is another than it was."""
        if self.breaker.state != self._told:
            self._told = self.breaker.state
            self._moved(self._told)

    def view(self) -> dict[str, Any]:
        view: dict[str, Any] = {"breaker": self.breaker.state}
        if (retry_in := self.breaker.retry_in()) > 0:
            view["retry_in_s"] = round(retry_in, 1)
        if rests := self.rests_s:
            view["rests_s"] = round(rests, 1)
        return view


class Standings:
    """Those of every model that was asked."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._clock = bus, clock
        self._known: dict[tuple[str, str], Standing] = {}

    def of(self, provider: str, model: str) -> Standing:
        known = self._known.get((provider, model))
        if known is None:
            if len(self._known) >= MOST:
                self._forget_the_well()
            known = self._known[provider, model] = Standing(self._clock, lambda state: self._moved(provider, model, state))
        return known

    def views(self, provider: str) -> dict[str, Any]:
        """By model, of those that are not well."""
        return {model: known.view() for (name, model), known in self._known.items() if name == provider and not known.well}

    def _moved(self, provider: str, model: str, state: BreakerState) -> None:
        say = log.warning if state == "open" else log.info
        say(f"model.circuit_{state}", provider=provider, model=model)
        self._bus.publish(ProviderTripped(provider, model, state))

    def _forget_the_well(self) -> None:
        self._known = {name: known for name, known in self._known.items() if not known.well}
