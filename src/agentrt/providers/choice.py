"""Which provider and model a name means. Pure: what is configured and listed is given."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

import msgspec

from agentrt.kernel import Invalid

from .entry import WELL_KNOWN, ProviderEntry
from .wires import ADAPTERS

OFFLINE = "offline"


class Choice(msgspec.Struct, frozen=True):
    """A model that can be asked. `skipped` says of every better one why it was passed over."""

    provider: str
    model: str
    skipped: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


class Directory:
    """Looks names up. `listed` are the model ids that providers with their own address say they serve."""

    def __init__(self, entries: Mapping[str, ProviderEntry], listed: Mapping[str, Sequence[str]]) -> None:
        self._entries, self._listed = entries, listed

    def usable(self) -> Iterator[str]:
        """The names of the providers that can be asked, the offline one excepted."""
        return (name for name in self._entries if name != OFFLINE and self.obstacle(name) is None)

    def obstacle(self, provider: str) -> str | None:
        """Why a provider cannot be asked, as the end of a sentence that begins with its name; None where it can."""
        entry = self._entries.get(provider)
        if entry is None:
            close = get_close_matches(provider, self._entries, 1)
            return "is not a known provider" + (f"; did you mean {close[0]}?" if close else "")
        if entry.wire not in ADAPTERS:
            is_set = "is configured, but " if entry.configured else ""
            hint = " (its address with /v1 as OPENAI_BASE_URL works)" if entry.wire == "ollama" else ""
            return f"{is_set}has no adapter in this version{hint}"
        if not entry.configured:
            known = WELL_KNOWN.get(provider)
            return f"is not configured: set {known.wanted}" if known else "is not configured: it has neither base_url nor api_key"
        return None

    def choose(self, chain: Sequence[str]) -> Choice:
        """The first of the chain that is configured; the offline model where none is. `skipped` says why, per model."""
        skipped: list[str] = []
        for name in chain:
            try:
                found = self.resolve(name)
            except Invalid as exc:
                skipped.append(f"{name}: {exc.message}")
                continue
            if found is not None:
                return msgspec.structs.replace(found, skipped=tuple(skipped))
            skipped.append(f"{name}: {self._unknown(name)}")
        return Choice(OFFLINE, OFFLINE, tuple(skipped))

    def resolve(self, name: str) -> Choice | None:
        """The model that `name` means, as `provider/model` or as a bare id; None where nobody knows it.

        Invalid `provider_not_configured` where its provider is known but cannot be asked; the message says what is missing.
        """
        provider, slash, model = name.partition("/")
        if slash and model and provider in self._entries:
            return self._at(provider, model)
        for listing, models in self._listed.items():
            if name in models:
                return self._at(listing, name)
        claiming = [of for of, entry in self._entries.items() if entry.claims(name)]
        for of in claiming:
            if self.obstacle(of) is None:
                return Choice(of, name)
        return self._at(claiming[0], name) if claiming else None

    def _at(self, provider: str, model: str) -> Choice | None:
        if (why := self.obstacle(provider)) is not None:
            raise Invalid(f"{provider} {why}", code="provider_not_configured", param="model")
        return Choice(provider, model)

    def _unknown(self, name: str) -> str:
        provider, slash, _ = name.partition("/")
        if slash and (why := self.obstacle(provider)) is not None:
            return f"{provider} {why}"
        return "no provider knows this model"
