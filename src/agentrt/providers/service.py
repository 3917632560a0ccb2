"""The providers of this server: which are configured, which model a name means, who speaks to it.

A new wire format joins `WIRES` (wires.py) and `speaks` (adapters.py); what wraps a client (retries, the
breaker) is put around it in fallback.py.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, cast

import msgspec
import structlog

from agentrt.agents import ConditionFailed, ModelEntry, Retry, holds
from agentrt.bus import Bus
from agentrt.kernel import Invalid, Module, ModuleHealth
from agentrt.messages import has_attachments

from .abilities import Abilities
from .adapters import speaks
from .choice import OFFLINE, Choice, Directory
from .client import ModelAsk, ModelClient, ProviderClient
from .embedding import Embedded, Embeds
from .entry import HOW_TO_CONFIGURE, ProviderEntry
from .errors import ModelFailure
from .facts import Facts
from .fallback import Candidate, Fallback
from .fitness import Misfit, can_be_forced, misfits
from .fitted import FetchImage, Fitted, wants_bytes
from .listing import Listing
from .offline import OfflineClient
from .offline_rules import OfflineRules
from .price import Price
from .retry import Retried
from .routing import Chain, Leg, Request, Route, Unfit, find_route, fitting, refusal_of
from .standing import Standings
from .transport import Transport
from .unheeded import Wanted, unheeded
from .wires import Wire

log = structlog.get_logger()

_NOTHING_CONFIGURED = f"No model provider is configured: {HOW_TO_CONFIGURE}, and start agentrt again."
_NO_MODEL = "no_model_for_request"
_NOTHING_SAID: Mapping[str, Any] = {}
OLLAMA_ADDRESS = ("127.0.0.1", 11434)
_PROBE_S = 0.3
_MOST_KNOWN = 1000
_ORDINARY = Request()


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
    `abilities` and `prices` are the settings' word on models, by globs of `provider/model`; `facts` is what is known of them.
    `fetch_image` fetches images for providers that want their bytes; without it they get the addresses.
    """

    name = "providers"

    def __init__(
        self,
        entries: Mapping[str, ProviderEntry],
        rules: Sequence[OfflineRules] = (),
        *,
        ollama: tuple[str, int] = OLLAMA_ADDRESS,
        bus: Bus | None = None,
        abilities: Mapping[str, Abilities] = _NOTHING_SAID,
        prices: Mapping[str, Price] = _NOTHING_SAID,
        fetch_image: FetchImage | None = None,
    ) -> None:
        self._entries = dict(entries)
        self.facts = Facts(self._entries, abilities, prices)
        self._known: dict[str, Abilities] = {}
        self._fetch = fetch_image
        self._standings = Standings(bus or Bus())
        self._ollama = ollama
        self._transports: list[Transport] = []
        self._clients: dict[str, ProviderClient] = {}
        self._routes: dict[int, tuple[Sequence[ModelEntry], int, Route]] = {}
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
        priced = {name: self._entries[name].url for name in usable if self._entries[name].wire != "ollama"}
        self._behind = self._group.create_task(self._come_up(priced), name="providers come up")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._behind is not None:
            self._behind.cancel()
        await self._group.__aexit__(None, None, None)
        for transport in self._transports:
            await transport.close()

    async def _come_up(self, priced: Mapping[str, str]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.facts.prices.load(priced), name="list prices")
            for name, listing in self._listings.items():
                group.create_task(listing.keep(), name=f"list models of {name}")

    def choose(self, chain: Sequence[str | ModelEntry], request: Request | None = None) -> Choice:
        """The model of a profile's chain that is asked first; `skipped` says why better ones are passed over.

        The offline model serves where the chain names it and where nothing in it is configured. Invalid
        `no_model_for_request` where no condition holds for `request`; without one an ordinary request is assumed. Invalid
        names the part of `request` that none of them takes.
        """
        entries = _entries_of(chain)
        found = self._find(entries, request or _ORDINARY)
        if not found.legs and request is None:
            found = find_route(entries, "", lambda _: True, self._directory())
        if not found.legs:
            raise Invalid(_takes_none(found), code=_NO_MODEL, param="model")
        if request is not None:
            found = self._fitting(found, request)
        first = found.legs[0].choice
        return msgspec.structs.replace(first, skipped=found.skipped) if found.skipped else first

    def follow(self, chain: Chain) -> ModelClient:
        """Who answers for a chain: the first model that can be asked, the next where it fails."""

        def candidates(ask: ModelAsk) -> list[Candidate]:
            found = self._find(chain.entries, Request(ask=ask, metadata=chain.metadata, key=chain.key))
            if not found.legs:
                raise ModelFailure(_takes_none(found), code=_NO_MODEL)
            try:
                found = self._fitting(found, Request(ask=ask, since=len(ask.messages)))
            except Invalid as exc:
                raise ModelFailure(exc.message, code="invalid_request") from exc
            self.facts.prices.want([(leg.choice.provider, leg.choice.model) for leg in found.legs])
            shows = has_attachments(ask.messages)
            return [self._candidate(leg, shows) for leg in found.legs]

        return Fallback(candidates, chain.retry)

    def resolve(self, name: str) -> Choice | None:
        """The model that a caller's `name` means (`provider/model` or a bare id); None where nobody knows it.

        Invalid `provider_not_configured` names what is missing where its provider is known but not configured.
        """
        found = self._directory().resolve(name)
        if found is not None and found.provider == OFFLINE and not self._offline.knows(found.model):
            return None
        return found

    def usable(self, chain: Sequence[str | ModelEntry]) -> list[Choice]:
        """The models of a chain that can be asked, whatever their conditions say."""
        return [leg.choice for leg in find_route(_entries_of(chain), "", lambda _: True, self._directory()).legs]

    def refuse_unfit(self, choice: Choice, request: Request) -> None:
        """Invalid names the part of `request` that this model is known not to take."""
        self._fitting(Route((Leg(choice, ModelEntry(model=choice.name)),)), request)

    def wants_bytes(self, choice: Choice) -> bool:
        """Whether this model is to be given images themselves, not their addresses."""
        return wants_bytes(self._entry(choice))

    def can_force(self, choice: Choice) -> bool:
        """Whether this model can be made to call a tool."""
        return can_be_forced(self._entry(choice).wire, choice.model)

    def unheeded(self, choice: Choice, wanted: Wanted) -> tuple[str, ...]:
        """What of it this model leaves out."""
        entry = self._entry(choice)
        return tuple(unheeded(entry.wire, choice.model, entry.version, wanted))

    async def unpriced(self, chain: Sequence[str | ModelEntry]) -> list[str]:
        """The models of a chain that may be asked and what they say has no known price, as `provider/model`."""
        usable = self.usable(chain)
        for choice in usable:
            await self.facts.prices.settled(choice.provider, choice.model)
        prices = ((choice.name, self.facts.price(choice.provider, choice.model)) for choice in usable)
        return [name for name, price in prices if price is None or price.output is None]

    async def embed(self, choice: Choice, asked: dict[str, Any]) -> Embedded:
        """Embeddings by a provider whose wire is OpenAI's. ModelFailure where it fails."""
        client = self._bare(choice.provider)
        assert isinstance(client, Embeds), "only OpenAI's wires have embeddings"
        return await client.embed({**asked, "model": choice.model})

    def client(self, provider: str, retry: Retry) -> ModelClient:
        """Who speaks to `provider`, making failed calls again as `retry` says. Invalid where it is not configured."""
        return Retried(self._bare(provider), self._standings.of(provider, ""), retry)

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
        if unwell := self._standings.views(name):
            state["unwell"] = unwell
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

    def _find(self, entries: Sequence[ModelEntry], request: Request) -> Route:
        # the same for every request until a list of models changes; an agent's entries are one object as long as it lives
        age = sum([listing.changes for listing in self._listings.values()])
        known = self._routes.get(id(entries))
        if known is not None and known[0] is entries and known[1] == age:
            return known[2]
        route = self._find_for(entries, request)
        if not any(entry.when or entry.weight is not None for entry in entries):
            if len(self._routes) >= _MOST_KNOWN:
                self._routes.clear()
            self._routes[id(entries)] = (entries, age, route)
        return route

    def _find_for(self, entries: Sequence[ModelEntry], request: Request) -> Route:
        facts = request.facts() if any(entry.when for entry in entries) else {}

        def true(condition: str) -> bool:
            try:
                return holds(condition, facts)
            except ConditionFailed as exc:
                say = log.debug if request is _ORDINARY else log.info  # nobody asked: a list of models is drawn up
                say("condition.failed", condition=condition, reason=str(exc))
                return False

        return find_route(entries, request.key, true, self._directory())

    def _candidate(self, leg: Leg, shows: bool) -> Candidate:
        choice, entry = leg.choice, self._entry(leg.choice)
        standing = self._standings.of(choice.provider, choice.model)

        def speaker() -> ModelClient:
            bare = self._bare(choice.provider)
            fetch = self._fetch if self.wants_bytes(choice) else None
            return Fitted(bare, entry.wire, self._abilities(choice), fetch) if shows else bare

        return Candidate(choice, leg.entry, entry, speaker, standing, lambda: self.facts.abilities(choice.provider, choice.model))

    def _fitting(self, route: Route, request: Request) -> Route:
        """The models of the route that take the request; Invalid names what none of them takes."""
        ask = request.ask
        shows = has_attachments(ask.messages)
        if not (shows or self._asks_much(route, ask)):
            return route  # words are taken by all
        messages = ask.messages if shows else ()

        def found_in(choice: Choice) -> list[Misfit]:
            asked = msgspec.structs.replace(ask, model=choice.model, messages=messages)
            return list(misfits(asked, self._entry(choice).wire, self._abilities(choice)))

        try:
            return fitting(route, request.since, found_in)
        except Unfit as exc:
            raise refusal_of(exc, request) from exc

    def _asks_much(self, route: Route, ask: ModelAsk) -> bool:
        """Whether, attachments aside, there is anything in `ask` that a model of the route may not take."""
        if "stop" in ask.parameters or "tool_choice" in ask.parameters:
            return True
        return bool(ask.tools or ask.caller_tools) and any(self._abilities(leg.choice).tools is False for leg in route.legs)

    def _abilities(self, choice: Choice) -> Abilities:
        """What is known of a model. Only its context size is ever learned later, which nobody asks for here."""
        known = self._known.get(choice.name)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[choice.name] = self.facts.abilities(choice.provider, choice.model)
        return known

    def _entry(self, choice: Choice) -> ProviderEntry:
        return self._entries.get(choice.provider) or ProviderEntry(wire="offline")

    def _bare(self, provider: str) -> ModelClient:
        return self._offline if provider == OFFLINE else self._clients.get(provider) or self._speaker(provider)

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


def _entries_of(chain: Sequence[str | ModelEntry]) -> Sequence[ModelEntry]:
    """The chain itself where nothing in it is just a name: what is known of it is remembered by its identity."""
    if str not in map(type, chain):
        return cast(Sequence[ModelEntry], chain)
    return tuple(ModelEntry(model=entry) if isinstance(entry, str) else entry for entry in chain)


def _takes_none(route: Route) -> str:
    return "no model of the agent's chain takes this request: " + "; ".join(route.skipped)
