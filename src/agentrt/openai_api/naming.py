"""What a model name of `/v1` means: an agent, an agent with another model, or a model without any agent."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from agentrt.agents import AgentSpec
from agentrt.kernel import Invalid, NotFound

BareModels = Literal["agent", "passthrough", "refuse"]
DEFAULT_ALIAS = "agent"


class HasSpec(Protocol):
    """A version of an agent's file, as the config store gives it."""

    @property
    def spec(self) -> AgentSpec: ...


class HasName(Protocol):
    """A model, by its `provider/model`."""

    @property
    def name(self) -> str: ...


class Target(msgspec.Struct, frozen=True):
    """Who answers: `agent`, with `model` in the place of its own where one is named; without an agent a pass-through.

    `ignored` says `model` where one was named but the agent has locked its own.
    """

    agent: AgentSpec | None
    model: str | None = None
    ignored: tuple[str, ...] = ()


def among_own(agent: AgentSpec, name: str, resolve: Callable[[str], HasName | None]) -> Target:
    """What `name` means to code of one of this agent's runs: one of its models; the agent's own name stands for all of them,
    in their order. NotFound for anything else."""
    if name in (agent.name, *agent.aliases, DEFAULT_ALIAS):
        return Target(agent)
    found = resolve(name)
    if found is None or found.name not in agent.chain:
        message = f"The model '{name[:128]}' is none of this agent's. GET /v1/models lists what there is."
        raise NotFound(message, code="model_not_found", param="model")
    return Target(agent, found.name)


class Names:
    """Looks names up. `agents` gives the current ones by name; `known` says whether the providers know a model, and raises
    Invalid where they do but cannot be asked; `listed` gives the ids worth suggesting."""

    def __init__(
        self,
        agents: Callable[[], Mapping[str, HasSpec]],
        known: Callable[[str], bool],
        listed: Callable[[], Iterable[str]],
        *,
        default_agent: str = "default",
        bare_models: BareModels = "agent",
    ) -> None:
        self._agents, self._known, self._listed = agents, known, listed
        self.default, self._bare = default_agent, bare_models
        self._seen: Mapping[str, HasSpec] | None = None
        self._by_name: dict[str, AgentSpec] = {}

    def agents(self) -> dict[str, AgentSpec]:
        """Every agent under each of its names; `agent` is the default one, whatever aliases say, unless an agent is named so."""
        current = self._agents()
        if current is not self._seen:
            by_name = {alias: version.spec for version in current.values() for alias in version.spec.aliases}
            by_name |= {name: version.spec for name, version in current.items()}
            if self.default in by_name and DEFAULT_ALIAS not in current:
                by_name[DEFAULT_ALIAS] = by_name[self.default]
            self._seen, self._by_name = current, by_name
        return self._by_name

    def aliases(self, agent: AgentSpec) -> tuple[str, ...]:
        """The other names that lead to an agent."""
        found, others = self.agents(), dict.fromkeys((*agent.aliases, DEFAULT_ALIAS))
        return tuple(alias for alias in others if alias in found and alias != agent.name == found[alias].name)

    def find(self, name: str) -> Target:
        """What `name` means; NotFound with a suggestion where it means nothing."""
        agents = self.agents()
        if (agent := agents.get(name)) is not None:
            return Target(agent)
        head, colon, model = name.partition(":")
        if colon and (agent := agents.get(head)) is not None:
            return self._with_model(agent, model, name)
        default = agents.get(self.default)
        if "/" not in name and self._bare == "agent" and default is not None:
            return self._with_model(default, name, name)
        if not self._known(name) or ("/" not in name and self._bare != "passthrough"):
            raise self._unknown(name)
        return Target(None, name)

    def _with_model(self, agent: AgentSpec, model: str, name: str) -> Target:
        locked = "model" in agent.locked
        try:
            known = self._known(model)
        except Invalid:
            if not locked:
                raise
            known = True  # it stays unused
        if not known:
            raise self._unknown(name)
        return Target(agent, None, ("model",)) if locked else Target(agent, model)

    def _unknown(self, name: str) -> NotFound:
        candidates = sorted({*self.agents(), *self._listed()} - {name})
        in_full = [candidate for candidate in candidates if candidate.endswith(f"/{name}")]
        near = difflib.get_close_matches(name[:128], candidates, n=4, cutoff=0.6)
        meant = next(filter(self._leads, (*in_full, *near)), None)
        hint = f" Did you mean '{meant}'?" if meant else " GET /v1/models lists what there is."
        return NotFound(f"The model '{name[:128]}' does not exist.{hint}", code="model_not_found", param="model")

    def _leads(self, listed: str) -> bool:
        """Whether a chat may name what is listed so: the offline model, for one, has no bare name."""
        if "/" in listed or listed in self.agents():
            return True
        try:
            return self._bare != "refuse" and self._known(listed)
        except Invalid:
            return False
