"""What the model calls of a run and of its children came to. Pure; the engine, the projection and the chat surface add it up
the same way."""

import msgspec

from agentrt.messages import Usage

from . import events as e


class Spending(msgspec.Struct, frozen=True):
    """Tokens and US dollars of several attempts, failed ones included. `unpriced` are those of which nobody knows the price."""

    usage: Usage = Usage()
    known_usd: float = 0.0
    unpriced: int = 0

    def plus(self, event: "e.ModelCompleted | e.ModelFailed | e.ModelRetrying | e.ChildSpent") -> "Spending":
        """With one more attempt, or a whole child. The cost is what was written then: prices may have changed since."""
        unknown = event.cost_usd is None and event.usage.total > 0
        return Spending(
            self.usage + event.usage,
            round(self.known_usd + (event.cost_usd or 0.0), 12),
            self.unpriced + unknown,
        )

    @property
    def cost_usd(self) -> float | None:
        """None where the price of any attempt is unknown: what is known is not the sum."""
        return None if self.unpriced else self.known_usd
