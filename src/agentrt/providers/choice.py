"""Which provider and model a name means. Pure: what is configured and listed is given."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

import msgspec

from agentrt.kernel import Invalid

from .entry import WELL_KNOWN, ProviderEntry

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
        if not entry.configured:
            known = WELL_KNOWN.get(provider)
            return f"is not configured: set {known.wanted}" if known else "is not configured: it has neither base_url nor api_key"
        return None

    def look_up(self, name: str) -> Choice | str:
        """The model of a chain, or why it cannot be asked, as the end of a sentence."""
        try:
            return self.resolve(name) or self._unknown(name)
        except Invalid as exc:
            return exc.message

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
