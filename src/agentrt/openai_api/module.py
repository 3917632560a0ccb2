from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from agentrt.agents import AgentSpec
from agentrt.configs import ConfigStore, Versioned
from agentrt.kernel import Clock, Module
from agentrt.providers import Providers
from agentrt.runs import EmbeddingRuns, RunService
from agentrt.tools import ToolBox

from .capabilities import Inventory
from .chat import Chat
from .embeddings import Embeddings
from .hangup import HangUps
from .models import Shelf, knows, listed_names
from .naming import BareModels, Names
from .routes import routes


class OpenAIApi(Module):
    """OpenAI's chat completions, embeddings and models, over our runs."""

    name = "openai_api"

    def __init__(
        self,
        runs: RunService,
        configs: ConfigStore,
        providers: Providers,
        tools: ToolBox,
        embedding_runs: EmbeddingRuns,
        clock: Clock,
        *,
        default_agent: str = "default",
        bare_models: BareModels = "agent",
        max_body_bytes: int = 32_000_000,
        heartbeat_s: float = 15.0,
    ) -> None:
        def agents() -> Mapping[str, Versioned[AgentSpec]]:
            return configs.current("agents")

        names = Names(
            agents,
            lambda name: knows(providers, name),
            lambda: listed_names(providers),
            default_agent=default_agent,
            bare_models=bare_models,
        )
        self._hangups = HangUps()
        chat = Chat(runs, names, providers, tools, self._hangups, max_body_bytes=max_body_bytes, heartbeat_s=heartbeat_s)
        shelf = Shelf(agents, names, providers, clock.now_us() // 1_000_000)
        self._routes = routes(chat, shelf, Embeddings(embedding_runs), Inventory(agents, providers))
        self._stack = AsyncExitStack()

    @property
    def routes(self) -> Sequence[Any]:
        return self._routes

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._hangups)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()
