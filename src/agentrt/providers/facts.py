"""What this server knows of a model before it is asked: its abilities and its price, the settings' word first."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec

from agentrt.messages import Usage

from .abilities import Abilities, known_abilities
from .capacity import context_of
from .choice import OFFLINE
from .entry import ProviderEntry
from .price import FREE, Price, cost_of
from .prices import Prices

_OFFLINE, _UNKNOWN = ProviderEntry(wire="offline"), ProviderEntry()


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`price_usd`: for a million tokens; null where nobody knows it."""

    abilities: Abilities
    price_usd: Price | None


class Facts:
    """Looks facts up for the models of `entries`. `abilities` and `prices` are the settings', by globs of `provider/model`."""

    def __init__(
        self, entries: Mapping[str, ProviderEntry], abilities: Mapping[str, Abilities], prices: Mapping[str, Price]
    ) -> None:
        self._entries, self._abilities = entries, dict(abilities)
        self.prices = Prices(prices, self._listable)

    def of(self, provider: str, model: str) -> ModelFacts:
        return ModelFacts(abilities=self.abilities(provider, model), price_usd=self.price(provider, model))

    def abilities(self, provider: str, model: str) -> Abilities:
        entry, name = self._entry(provider), f"{provider}/{model}"
        context = next((size for glob, size in entry.contexts.items() if fnmatchcase(model, glob)), None)
        context = context or self.prices.context(provider, model) or context_of(entry, model)
        known = Abilities(context_tokens=context).over(known_abilities(entry.wire, model))
        said = [abilities for glob, abilities in self._abilities.items() if fnmatchcase(name, glob)]
        return said[0].over(known) if said else known

    def price(self, provider: str, model: str) -> Price | None:
        """None where nobody knows it. The offline model is known to be free."""
        return FREE if self._entry(provider).wire == "offline" else self.prices.of(provider, model)

    async def cost(self, name: str, usage: Usage) -> float | None:
        """What a call of `provider/model` costs, in US dollars; None where that is unknown."""
        if not usage.total:
            return 0.0
        provider, _, model = name.partition("/")
        if self._entry(provider).wire == "offline":
            return 0.0
        await self.prices.settled(provider, model)
        price = self.prices.of(provider, model)
        return None if price is None else cost_of(price, usage)

    def _listable(self, provider: str, model: str) -> bool:
        """Whether a public list may know the price. A server inside has its own, but for its provider's models, passed on."""
        entry = self._entry(provider)
        return entry.claims(model) or not entry.inside

    def _entry(self, provider: str) -> ProviderEntry:
        return _OFFLINE if provider == OFFLINE else self._entries.get(provider, _UNKNOWN)
