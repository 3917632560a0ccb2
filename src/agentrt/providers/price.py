"""What a model call costs: prices by kind of token, and the sum. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agentrt.messages import Usage

Rate = Annotated[float, Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars for a million tokens; `request` is for one call.

    Unset, `cached`, `cache_write`, `audio_input` and `image_input` cost as `input` does, `reasoning`, `audio_output` and
    `image_output` as `output`, and an `output` that is unset is unknown. Once a call has more than `above` input tokens of a
    tier, all of it costs as that says.
    """

    input: Rate
    output: Rate | None = None
    cached: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    audio_input: Rate | None = None
    audio_output: Rate | None = None
    image_input: Rate | None = None
    image_output: Rate | None = None
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
    read = (
        (usage.cached, at.cached),
        (usage.cache_write, at.cache_write),
        (usage.audio_input, at.audio_input),
        (usage.image_input, at.image_input),
    )
    written = ((usage.reasoning, at.reasoning), (usage.audio_output, at.audio_output), (usage.image_output, at.image_output))
    asked, answered = _sum(usage.input, at.input, read), _sum(usage.output, at.output, written)
    return None if asked is None or answered is None else round((asked + answered) / 1e6 + at.request, 12)


def _sum(tokens: int, rate: float | None, kinds: tuple[tuple[int, float | None], ...]) -> float | None:
    """What `tokens` cost, of which those of `kinds` that have a rate of their own cost that; None where a rate is missing."""
    total = 0.0
    for count, special in kinds:
        if count and special is not None:
            total += count * special
            tokens -= count
    # providers that count sound or images among what was cached would make the rest negative
    if tokens <= 0:
        return total
    return None if rate is None else total + tokens * rate
