"""`/v1/models`: what a chat may name as its model."""

from collections.abc import Callable, Mapping

import msgspec

from agentrt.agents import AgentSpec, Mode
from agentrt.providers import Abilities, Price, Providers

from .naming import HasSpec, Names, among_own


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is behind a name now. With agents: the model that their chain comes to, and why better ones were passed over.

    `abilities` (null: not known, so it is tried) and `price_usd` (for a million tokens; null: not known) stand with one
    model, not in the list.
    """

    provider: str
    model: str
    description: str | msgspec.UnsetType = msgspec.UNSET
    aliases: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    mode: Mode | msgspec.UnsetType = msgspec.UNSET
    skipped: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    abilities: Abilities | msgspec.UnsetType = msgspec.UNSET
    price_usd: Price | msgspec.UnsetType | None = msgspec.UNSET


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the list; there `agentrt` stands with agents only."""

    id: str
    object: str
    created: int
    owned_by: str
    agentrt: Note | msgspec.UnsetType = msgspec.UNSET


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[ModelCard]
    object: str = "list"


class Shelf:
    """Agents first, the default one before the others, then the models of the providers. `since` is when this server started,
    in Unix seconds."""

    def __init__(self, agents: Callable[[], Mapping[str, HasSpec]], names: Names, providers: Providers, since: int) -> None:
        self._agents, self._names, self._providers, self._since = agents, names, providers, since

    def list(self) -> ModelList:
        agents = sorted(self._agents().items(), key=lambda agent: (agent[0] != self._names.default, agent[0]))
        cards = [self._agent(name, version.spec) for name, version in agents]
        cards += [self._model(info.name, info.provider) for info in self._providers.models()]
        return ModelList(data=cards)

    def of_agent(self, agent: AgentSpec) -> ModelList:
        """What code of one of its runs may name."""
        cards = [self._model(choice.name, choice.provider) for choice in self._providers.usable(agent.entries)]
        return ModelList(data=[self._agent(agent.name, agent), *cards])

    async def get_of_agent(self, agent: AgentSpec, name: str) -> ModelCard:
        """One of those; NotFound for anything else."""
        target = among_own(agent, name, self._providers.resolve)
        if target.model is None:
            return await self._with_facts(self._agent(agent.name, agent))
        return await self._one(target.model)

    async def get(self, name: str) -> ModelCard:
        """Whatever a chat could name: aliases, `AGENT:MODEL` and bare ids too. NotFound for anything else."""
        target = self._names.find(name)
        if target.agent is not None:
            return await self._with_facts(self._agent(name, target.agent, target.model))
        return await self._one(name)

    async def _one(self, name: str) -> ModelCard:
        choice = self._providers.resolve(name)
        assert choice is not None, "the name was found a moment ago"
        card = self._model(name, choice.provider)
        return await self._with_facts(msgspec.structs.replace(card, agentrt=Note(provider=choice.provider, model=choice.model)))

    async def _with_facts(self, card: ModelCard) -> ModelCard:
        note, known = card.agentrt, self._providers.facts
        assert isinstance(note, Note), "one model has a note"
        await known.prices.listed()
        facts = known.of(note.provider, note.model)
        full = msgspec.structs.replace(note, abilities=facts.abilities, price_usd=facts.price_usd)
        return msgspec.structs.replace(card, agentrt=full)

    def _agent(self, name: str, spec: AgentSpec, model: str | None = None) -> ModelCard:
        choice = self._providers.choose(spec.entries if model is None else (model,))
        note = Note(
            description=spec.description,
            aliases=self._names.aliases(spec),
            mode=spec.mode,
            provider=choice.provider,
            model=choice.model,
            skipped=choice.skipped,
        )
        return ModelCard(id=name, object="model", created=self._since, owned_by="agentrt", agentrt=note)

    def _model(self, name: str, provider: str) -> ModelCard:
        return ModelCard(id=name, object="model", created=self._since, owned_by=provider)


def listed_names(providers: Providers) -> list[str]:
    """Ids worth suggesting to somebody who mistyped one."""
    return [name for info in providers.models() for name in (info.id, info.name)]


def knows(providers: Providers, name: str) -> bool:
    """Whether the providers know this model. Invalid where its provider cannot be asked."""
    return bool(name) and providers.resolve(name) is not None
