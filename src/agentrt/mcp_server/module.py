"""What plugs `/mcp` into the server."""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any, Self

import structlog

from agentrt.bus import Bus, ConfigChanged, McpServerChanged, SandboxesChanged
from agentrt.configs import ConfigStore
from agentrt.containers import Sandboxes
from agentrt.files import Blobs
from agentrt.kernel import Module, ModuleHealth, Unavailable
from agentrt.runs import PromptSource, RunService, ToolRuns
from agentrt.skills import Skills

from .agent_tools import AgentTools
from .loading import load_endpoint
from .offers import Offers
from .prompts import Prompts
from .routes import mcp_routes
from .tools import Tools
from .workspace_files import WorkspaceFiles

log = structlog.get_logger()

_LOAD_S = 30.0


class McpServer(Module):
    """agentrt as an MCP server: the tools of `agent`, the agents whose names fit `agents`, files and a prompt.

    The SDK is loaded by the first request, and what serves it ends when the bus closes.
    """

    name = "mcp_server"

    def __init__(
        self,
        tool_runs: ToolRuns,
        runs: RunService,
        configs: ConfigStore,
        blobs: Blobs,
        skills: Skills,
        prompts: PromptSource,
        bus: Bus,
        *,
        sandboxes: Sandboxes | None,
        agent: str,
        agents: Sequence[str],
        max_body_bytes: int,
    ) -> None:
        self._configs, self._agent = configs, agent
        tools, offered = Tools(tool_runs, configs, agent), AgentTools(runs, configs, agents)
        self._offers = Offers(
            tools=tools,
            agents=offered,
            files=WorkspaceFiles(sandboxes, lambda: tools.agent.sandbox),
            prompts=Prompts(tools, offered, tool_runs, configs, skills, prompts),
            blobs=blobs,
        )
        self._bus, self._max_body_bytes = bus, max_body_bytes
        self._group = asyncio.TaskGroup()
        self._keeper: asyncio.Task[None] | None = None
        self._endpoint: Any = None
        self._settled = asyncio.Event()

    @property
    def routes(self) -> Sequence[Any]:
        return mcp_routes(self.handle)

    def health(self) -> ModuleHealth:
        if self._configs.find("agents", self._agent) is None:
            return ModuleHealth("ok", f"no agent {self._agent} is loaded: the code tools are offered")
        return ModuleHealth("ok", f"the tools of {self._agent}")

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        await self._group.__aexit__(None, None, None)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """An ASGI application for `/mcp`; who mounts it has put the Principal into `scope["state"]["who"]`."""
        endpoint = self._endpoint or await self._opened()
        await endpoint.handle(scope, receive, send)

    async def _opened(self) -> Any:
        if self._keeper is None or self._keeper.done():
            self._settled.clear()
            self._keeper = self._group.create_task(self._keep(), name="mcp server", context=Context())
        try:
            async with asyncio.timeout(_LOAD_S):
                await self._settled.wait()
        except TimeoutError:
            raise Unavailable("MCP is still being loaded", retry_after_s=5) from None
        if self._endpoint is None:
            raise Unavailable("MCP cannot be served now; the log says why", retry_after_s=5)
        return self._endpoint

    async def _keep(self) -> None:
        try:
            loaded = await asyncio.to_thread(load_endpoint)
            async with loaded.Endpoint(self._offers, max_body_bytes=self._max_body_bytes) as endpoint:
                self._endpoint = endpoint
                self._settled.set()
                await self._follow(endpoint)
                await endpoint.settle()
        except Exception:  # whatever is wrong with it, the server serves all else
            log.exception("mcp_server.crashed")
        finally:
            self._endpoint = None
            self._settled.set()

    async def _follow(self, endpoint: Any) -> None:
        """Pass on that tools have changed, until the bus closes."""
        async with asyncio.TaskGroup() as group:
            for topic in (ConfigChanged, McpServerChanged, SandboxesChanged):
                group.create_task(self._pass_on(topic, endpoint), name=f"pass on {topic.__name__}")

    async def _pass_on(self, topic: type[ConfigChanged | McpServerChanged | SandboxesChanged], endpoint: Any) -> None:
        with self._bus.subscribe(topic) as changes:
            while await changes.take():
                await endpoint.tools_changed()
