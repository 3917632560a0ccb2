"""The prompt `agent_system_prompt`: how an agent is told what it can do."""

from agentrt.agents import AgentSpec, StaticVars, ToolLine
from agentrt.configs import ConfigStore
from agentrt.kernel import NotFound, Principal
from agentrt.runs import PromptSource, Told, ToolRuns
from agentrt.skills import Skills

from .agent_tools import AgentTools
from .tools import Tools

NAME = "agent_system_prompt"
DESCRIPTION = "A system prompt that describes an agent's tools and skills."
ARGUMENT = "Which agent to describe; by default the one whose tools are offered here."


class Prompts:
    """Of the agents that are offered, and of the one whose tools are: what another is told is nobody's business here."""

    def __init__(
        self, tools: Tools, agents: AgentTools, runs: ToolRuns, configs: ConfigStore, skills: Skills, source: PromptSource
    ) -> None:
        self._tools, self._agents, self._runs, self._configs = tools, agents, runs, configs
        self._skills, self._source = skills, source

    async def system_prompt(self, who: Principal, agent: str | None) -> Told:
        """What the agent is told, then its tools, then its skills. NotFound for an agent that is not offered."""
        spec, called = self._found(agent)
        offer = await self._runs.offer(who, called)
        lines = tuple(ToolLine(tool.id, tool.description) for tool in offer.defs)
        own = await self._source.told(who, spec, StaticVars(tools=lines))
        tools = "\n".join(f"- {line.id}: {line.description}" for line in lines)
        skills = self._skills.section(spec) if spec.skills else ""
        return Told("\n\n".join(filter(None, (own.text, f"Tools:\n{tools}" if tools else "", skills))), own.notice)

    def agents(self, start: str) -> tuple[str, ...]:
        """Names of agents that begin so."""
        return tuple(name for name in self._agents.names() if name.startswith(start))

    def _found(self, agent: str | None) -> tuple[AgentSpec, AgentSpec | str]:
        if agent in (None, self._tools.name):
            return self._tools.agent, self._tools.called
        offered = self._agents.names()
        entry = self._configs.find("agents", agent) if agent in offered else None
        if entry is None:
            known = ", ".join(offered) or "none is offered"
            raise NotFound(f"there is no agent {agent[:64]!r} (agents: {known})", code="agent_not_found", param="agent")
        return entry.spec, entry.name
