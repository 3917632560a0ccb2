"""The agents that runs may name: by name, by alias, pinned by version."""

from functools import lru_cache

from agentrt.agents import AgentSpec, SandboxRule
from agentrt.configs import ConfigStore, Versioned
from agentrt.kernel import NotFound

PASSTHROUGH = AgentSpec(name="passthrough", description="A bare model: no prompt, no tools of ours.")
PASSTHROUGH_VERSION = "builtin"
EMBEDDING_VERSION = "embedding"
DIRECT_VERSION = "direct"
CHILD_VERSION = "child"


@lru_cache(maxsize=256)  # offers of tools are kept by a spec's identity
def direct(name: str, sandbox: SandboxRule) -> AgentSpec:
    """Who calls tools for callers from outside that come through no agent. Its code runs as `sandbox` says."""
    return AgentSpec(name=name, description="Tools called from outside, without a model.", tools=("*",), sandbox=sandbox)


class Catalogue:
    """`default_name` is the agent of requests that name none, and what the alias `agent` means."""

    def __init__(self, configs: ConfigStore, default_name: str = "default") -> None:
        self._configs = configs
        self.default_name = default_name

    def find(self, name: str | None) -> Versioned[AgentSpec]:
        """By name or alias; None is the default agent. NotFound lists what there is."""
        wanted = name or self.default_name
        if wanted == "agent" and wanted not in self._configs.current("agents"):
            wanted = self.default_name
        found = self._configs.find("agents", wanted)
        if found is None:
            known = ", ".join(sorted(self._configs.current("agents"))) or "none is loaded"
            raise NotFound(f"there is no agent {wanted[:64]!r} (agents: {known})", code="agent_not_found", param="agent")
        return found

    async def pinned(self, name: str, version: str) -> AgentSpec:
        """A version that a run keeps to; NotFound where it was never in use here."""
        if version == PASSTHROUGH_VERSION:
            return PASSTHROUGH
        if version == EMBEDDING_VERSION:
            raise NotFound("the server stopped during a call for embeddings, which is not made again")
        if version == CHILD_VERSION:
            raise NotFound("the server stopped during a call by a run's own code, which is not made again")
        return await self._configs.version("agents", name, version)
