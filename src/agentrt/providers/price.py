"""What a model call costs: prices by kind of token, and the sum. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agentrt.messages import Usage

Rate = Annotated[float, Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars for a million tokens; `request` is for one call.

    Unset, `cached`, `cache_write` and `audio_input` cost as `input` does, `reasoning` and `audio_output` as `output`, and an
    `output` that is unset is unknown. Once a call has more than `above` input tokens of a tier, all of it costs as that says.
    """

    input: Rate
    output: Rate | None = None
    cached: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    audio_input: Rate | None = None
    audio_output: Rate | None = None
    request: Rate = 0.0
    tiers: tuple["Tier", ...] = ()

    def at(self, input_tokens: int) -> "Price":
        """The price of a call with so many input tokens."""
        reached = [tier for tier in self.tiers if input_tokens > tier.above]
        return max(reached, key=lambda tier: tier.above).price if reached else self


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    above: int
    price: Price


FREE = Price(input=0.0, output=0.0)


def cost_of(price: Price, usage: Usage) -> float | None:
    """US dollars, to the millionth of a millionth; None where tokens were used of which the price is not known."""
    at = price.at(usage.input)
    lines = (
        (usage.input - usage.cached - usage.cache_write - usage.audio_input, at.input),
        (usage.cached, _first(at.cached, at.input)),
        (usage.cache_write, _first(at.cache_write, at.input)),
        (usage.audio_input, _first(at.audio_input, at.input)),
        (usage.output - usage.reasoning - usage.audio_output, at.output),
        (usage.reasoning, _first(at.reasoning, at.output)),
        (usage.audio_output, _first(at.audio_output, at.output)),
    )
    total = 0.0
    for tokens, rate in lines:
        if tokens > 0:  # providers that count sound among what was cached would make the rest negative
            if rate is None:
                return None
            total += tokens * rate
    return round(total / 1e6 + at.request, 12)


def _first(rate: float | None, otherwise: float | None) -> float | None:
    return otherwise if rate is None else rate
