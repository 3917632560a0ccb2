"""The providers of this server: which are configured, which model a name means, who speaks to it.

A new wire format joins `ADAPTERS` (wires.py) and `speaks` (adapters.py); what wraps a client (fallback, breaker, prices) joins
`client`, around `Retried`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Self

import msgspec
import structlog

from agentrt.agents import Retry
from agentrt.kernel import Invalid, Module, ModuleHealth

from .adapters import speaks
from .choice import OFFLINE, Choice, Directory
from .client import ModelClient, ProviderClient
from .entry import ProviderEntry
from .listing import Listing
from .offline import OfflineClient
from .offline_rules import OfflineRules
from .retry import Retried
from .transport import Transport
from .wires import Wire

log = structlog.get_logger()

_NOTHING_CONFIGURED = (
    "No model provider is configured: set OPENAI_API_KEY or ANTHROPIC_API_KEY, or OPENAI_BASE_URL for any server that speaks "
    "OpenAI's dialect, and start agentrt again."
)
OLLAMA_ADDRESS = ("127.0.0.1", 11434)
_PROBE_S = 0.3


class ModelInfo(msgspec.Struct, frozen=True):
    """A model that can be asked: `id` is its bare name, `name` how a caller names it without doubt."""

    id: str
    provider: str

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.id}"


class Providers(Module):
    """Owns every connection to a provider: an async context manager, opened once.

    `entries` come from `entries_from`. `ollama` is where a local Ollama is looked for when nothing says where it is.
    """

    name = "providers"

    def __init__(
        self,
        entries: Mapping[str, ProviderEntry],
        rules: Sequence[OfflineRules] = (),
        *,
        ollama: tuple[str, int] = OLLAMA_ADDRESS,
    ) -> None:
        self._entries = dict(entries)
        self._ollama = ollama
        self._transports: list[Transport] = []
        self._clients: dict[str, ProviderClient] = {}
        self._listings: dict[str, Listing] = {}
        self._behind: asyncio.Task[None] | None = None
        self._group = asyncio.TaskGroup()
        self._offline = OfflineClient(self._why_offline(), rules)

    async def __aenter__(self) -> Self:
        """Look for a local Ollama (0.3 s at most); what takes longer goes on behind a server that already runs."""
        await self._find_ollama()
        usable = list(self._directory().usable())
        for name in usable:
            if self._entries[name].lists_own_models:
                self._listings[name] = Listing(name, self._speaker(name))
        await self._group.__aenter__()
        if usable:
            self._behind = self._group.create_task(self._come_up(), name="providers come up")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._behind is not None:
            self._behind.cancel()
        await self._group.__aexit__(None, None, None)
        for transport in self._transports:
            await transport.close()

    async def _come_up(self) -> None:
        # Importing it takes 70 ms, which the first chat would wait for.
        await asyncio.to_thread(import_module, "aiohttp")
        async with asyncio.TaskGroup() as group:
            for name, listing in self._listings.items():
                group.create_task(listing.keep(), name=f"list models of {name}")

    def choose(self, chain: Sequence[str]) -> Choice:
        """The first model of a profile's chain whose provider is configured.

        The offline model serves where the chain names it and where nothing in it can be asked; `skipped` says why.
        """
        return self._directory().choose(chain)

    def resolve(self, name: str) -> Choice | None:
        """The model that a caller's `name` means (`provider/model` or a bare id); None where nobody knows it.

        Invalid `provider_not_configured` names what is missing where its provider is known but not configured.
        """
        found = self._directory().resolve(name)
        if found is not None and found.provider == OFFLINE and not self._offline.knows(found.model):
            return None
        return found

    def client(self, provider: str, retry: Retry) -> ModelClient:
        """Who speaks to `provider`, making failed calls again as `retry` says. Invalid where it is not configured."""
        if provider == OFFLINE:
            return Retried(self._offline, retry)
        return Retried(self._clients.get(provider) or self._speaker(provider), retry)

    def wire(self, provider: str) -> Wire:
        """The wire format that `provider` speaks: which parameters its requests have a place for."""
        return self._entries[provider].wire

    def models(self) -> list[ModelInfo]:
        """The offline models, and what providers with an address of their own have listed so far."""
        listed = [ModelInfo(model, name) for name, listing in self._listings.items() for model in listing.models]
        return [ModelInfo(model, OFFLINE) for model in self._offline.models()] + listed

    async def listed(self, within_s: float) -> None:
        """Return once every list of models was asked for, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for listing in self._listings.values():
                    await listing.asked.wait()

    def set_rules(self, documents: Sequence[OfflineRules]) -> None:
        """Give the offline model these documents of rules instead of the ones it had."""
        self._offline.set_rules(documents)

    def health(self) -> ModuleHealth:
        """Per provider whether it can be asked, and why not. `degraded` while one that was asked for its models fails."""
        directory = self._directory()
        failing = any(listing.unwell for listing in self._listings.values())
        return ModuleHealth("degraded" if failing else "ok", {name: self._state(name, directory) for name in self._entries})

    def _state(self, name: str, directory: Directory) -> dict[str, Any]:
        why = directory.obstacle(name)
        if why is not None:
            return {"configured": False, "reason": f"{name} {why}"}
        state: dict[str, Any] = {"configured": True}
        if (listing := self._listings.get(name)) is not None:
            state["models"] = len(listing.models)
            if listing.failure is not None:
                state["reason"] = listing.failure.message
        return state

    def _directory(self) -> Directory:
        return Directory(self._entries, {name: listing.models for name, listing in self._listings.items()})

    def _why_offline(self) -> str:
        usable = list(self._directory().usable())
        if not usable:
            return _NOTHING_CONFIGURED
        return (
            f"This agent uses it although a provider is configured ({', '.join(usable)}); `model:` in its file says which to ask."
        )

    def _speaker(self, name: str) -> ProviderClient:
        """Made when it is first needed: what no profile uses costs nothing."""
        if (why := self._directory().obstacle(name)) is not None:
            raise Invalid(f"{name} {why}", code="provider_not_configured", param="model")
        entry = self._entries[name]
        transport = Transport(name, entry)
        self._transports.append(transport)
        self._clients[name] = client = speaks(entry, transport)
        return client

    async def _find_ollama(self) -> None:
        """An Ollama at its default port counts as configured."""
        entry = self._entries.get("ollama")
        if entry is None or entry.configured:
            return
        host, port = self._ollama
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PROBE_S):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            self._entries["ollama"] = msgspec.structs.replace(entry, base_url=f"http://{host}:{port}")
            log.info("ollama.found", host=host, port=port)
