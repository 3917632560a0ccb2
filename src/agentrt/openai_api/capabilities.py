"""`GET /v1/capabilities`: what can be asked of this server, and of which models."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from agentrt import __version__
from agentrt.providers import Abilities, Price, Providers

from .naming import HasSpec
from .parameters import ParameterClasses, classes_of

_PARAMETER = re.compile(r"\{[^}]*\}")
_WIRES = ("anthropic", "gemini", "offline", "ollama", "openai", "openai_responses")


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """An address where work can be asked for. `streams`: the answer can come as server-sent events."""

    name: str
    path: str
    streams: bool


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be asked as `id`. In `abilities` null means that nobody knows: it is tried. `price_usd` is for a million
    tokens; null: not known."""

    id: str
    provider: str
    model: str
    wire: str
    abilities: Abilities
    price_usd: Price | None


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """`parameters`: by wire format, what becomes of a chat's parameters. `models`: those of the agents' chains, and those that
    providers list."""

    object: str = "capabilities"
    version: str = __version__
    surfaces: list[Surface]
    parameters: dict[str, ParameterClasses]
    agents: list[str]
    models: list[ModelEntry]


SURFACES = [
    Surface(name="chat", path="/v1/chat/completions", streams=True),
    Surface(name="embeddings", path="/v1/embeddings", streams=False),
    Surface(name="models", path="/v1/models", streams=False),
    Surface(name="runs", path="/runs", streams=True),
    Surface(name="sessions", path="/sessions", streams=False),
    Surface(name="files", path="/v1/files", streams=False),
    Surface(name="mcp", path="/mcp", streams=True),
    Surface(name="mcp_servers", path="/mcp-servers", streams=False),
    Surface(name="sandboxes", path="/sandboxes", streams=False),
    Surface(name="pools", path="/api/v1/pools/{pool}/acquire", streams=False),
    Surface(name="vms", path="/api/v1/vms", streams=False),
]


def plain_path(path: str) -> str:
    """A path with its parameters unnamed: routers and documents spell them differently."""
    return _PARAMETER.sub("{}", path)


class Inventory:
    """Puts the list together anew for each request: agents' files and providers' lists change."""

    def __init__(self, agents: Callable[[], Mapping[str, HasSpec]], providers: Providers) -> None:
        self._agents, self._providers = agents, providers

    async def take(self, mounted: Collection[str]) -> Capabilities:
        """`mounted` are the `plain_path`s that this server answers at: modules can be switched off."""
        await self._providers.facts.prices.listed()
        return Capabilities(
            surfaces=[surface for surface in SURFACES if plain_path(surface.path) in mounted],
            parameters={wire: classes_of(wire) for wire in _WIRES},
            agents=sorted(self._agents()),
            models=[self._entry(provider, model) for provider, model in self._models()],
        )

    def _entry(self, provider: str, model: str) -> ModelEntry:
        facts = self._providers.facts.of(provider, model)
        return ModelEntry(
            id=f"{provider}/{model}",
            provider=provider,
            model=model,
            wire=self._providers.wire(provider),
            abilities=facts.abilities,
            price_usd=facts.price_usd,
        )

    def _models(self) -> Iterable[tuple[str, str]]:
        chosen = (choice for agent in self._agents().values() for choice in self._providers.usable(agent.spec.entries))
        listed = ((info.provider, info.id) for info in self._providers.models())
        return dict.fromkeys([*((choice.provider, choice.model) for choice in chosen), *listed])
