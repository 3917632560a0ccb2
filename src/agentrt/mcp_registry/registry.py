"""Many MCP servers as one source of tools, started in parallel behind a healthy server, each on its own."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, Self

import structlog

from agentrt.agents import AgentSpec, ToolRule
from agentrt.bus import Bus, ConfigChanged, McpServerChanged
from agentrt.files import Blobs
from agentrt.kernel import HealthStatus, Module, ModuleHealth, NotFound, Principal
from agentrt.messages import ToolCall, ToolResult
from agentrt.tools import CallContext, ToolDef, ToolUnavailable

from .connection import Pace
from .names import SEPARATOR, slugs
from .routes import server_routes
from .server import Server
from .spec import McpServerSpec
from .views import McpServerDetail, McpServerView, detail_of, view_of

log = structlog.get_logger()

_WILD = "*?["


class McpRegistry(Module):
    """The configured servers, connected as long as the block lasts. A source of tools, with its own routes.

    `wait_s` bounds how long a turn waits for servers that have not been tried yet; `idle_s` after which the connection of
    a user who is not heard of is closed; `drain_s` how long calls under way may go on when `reload` replaces their server.
    """

    name = "mcp_registry"

    def __init__(
        self,
        servers: Callable[[], Mapping[str, McpServerSpec]],
        *,
        bus: Bus,
        blobs: Blobs,
        env: Mapping[str, str],
        wait_s: float = 5.0,
        idle_s: float = 300.0,
        drain_s: float = 5.0,
        pace: Pace | None = None,
    ) -> None:
        self._configured = servers
        self._bus, self._blobs, self._env = bus, blobs, env
        self._wait_s, self._idle_s, self._drain_s, self._pace = wait_s, idle_s, drain_s, pace or Pace()
        self._group = asyncio.TaskGroup()
        self._servers: dict[str, Server] = {}
        self._by_slug: dict[str, Server] = {}
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def routes(self) -> Sequence[Any]:
        return server_routes(self)

    @property
    def tools(self) -> Sequence[Any]:
        return (self,)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        await self.reload(self._configured())
        self._keepers = [
            self._spawn(self._close_idle(), "mcp idle connections"),
            self._spawn(self._follow_files(), "mcp configuration"),
        ]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        leaving, self._servers, self._by_slug = self._servers, {}, {}  # who still waits for one must not open it again
        for server in leaving.values():
            server.stop()
        await self._group.__aexit__(None, None, None)

    async def _follow_files(self) -> None:
        with self._bus.subscribe(ConfigChanged) as changes:
            async for change in changes:
                if change.kind == "mcp":
                    await self.reload(self._configured())

    async def reload(self, servers: Mapping[str, McpServerSpec]) -> None:
        """Serve these from now on: starts new ones, restarts changed ones, ends the others once their calls are done."""
        names = slugs(servers)
        before, self._servers = self._servers, {}
        for name, spec in servers.items():
            same = before.get(name)
            if same is not None and same.spec == spec and same.slug == names[name]:
                self._servers[name] = before.pop(name)
            else:
                self._servers[name] = self._start(name, names[name], spec)
        self._by_slug = {server.slug: server for server in self._servers.values()}
        for server in before.values():
            self._spawn(self._retire(server), f"retire mcp server {server.name}")
        for name in {*before, *self._servers}:
            self._changed(name)

    async def list(self, agent: AgentSpec, who: Principal) -> Sequence[ToolDef]:
        """The tools of the servers that the agent may use. Waits `wait_s` for those that were not tried yet.

        By their ids, whatever order servers came up in or list them in: what providers cache begins with the tools.
        """
        await self._first_tries(self._used_by(agent), who)
        # those that are configured now: another set may have come meanwhile
        return sorted((tool for server in self._used_by(agent) for tool in server.offer(who)), key=lambda tool: tool.id)

    def missing(self, agent: AgentSpec, who: Principal) -> dict[str, str]:
        """The servers that the agent may use but that offer nothing now, each with the reason in a sentence."""
        gone = {}
        for server in self._used_by(agent):
            connection = server.connection(who)
            if connection.state in ("connecting", "failed"):
                gone[server.name] = connection.last_error or "it is still starting"
        return gone

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        slug = call.name.partition(SEPARATOR)[0]
        server = self._by_slug.get(slug)
        if server is None:
            raise ToolUnavailable(f"no MCP server offers a tool {call.name!r}", sent=False)
        return await server.call(call, ctx)

    async def prompt(self, who: Principal, server: str, name: str) -> str:
        """The text of a server's prompt, for agents that take theirs from there. NotFound; Unavailable or UpstreamFailed with
        the reason, within `wait_s`."""
        if server not in self._servers:
            raise NotFound(f"there is no MCP server {server[:64]!r}", code="mcp_server_not_found")
        return await self._servers[server].prompt(who, name, self._wait_s)

    def connected(self) -> bool:
        """Whether every required server is up."""
        required = [server.main for server in self._servers.values() if server.spec.required and server.main]
        return all(connection.state == "connected" for connection in required)

    def health(self) -> ModuleHealth:
        states = {name: server.main.state if server.main else "disabled" for name, server in self._servers.items()}
        return ModuleHealth(_status({state for state in states.values() if state != "disabled"}), states)

    def views(self) -> Sequence[McpServerView]:
        """Every configured server, as people see it."""
        return tuple(view_of(server) for server in self._servers.values())

    def show(self, name: str) -> McpServerDetail:
        """One server with its tools and the end of its standard error; NotFound."""
        if name not in self._servers:
            raise NotFound(f"there is no MCP server {name[:64]!r}", code="mcp_server_not_found")
        return detail_of(self._servers[name])

    def _used_by(self, agent: AgentSpec) -> Sequence[Server]:
        return [server for server in self._servers.values() if server.spec.on and _may_use(agent, server.slug)]

    async def _first_tries(self, servers: Sequence[Server], who: Principal) -> None:
        waiting = [server.connection(who) for server in servers]
        waiting = [connection for connection in waiting if connection.state == "connecting"]
        if not waiting:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait_s):
                for connection in waiting:
                    await connection.tried()

    def _start(self, name: str, slug: str, spec: McpServerSpec) -> Server:
        if spec.auto_approve is not None or spec.always_allow is not None:
            log.warning("mcp.approvals_ignored", server=name, hint="agents say which tools they may call")
        return Server(
            name,
            slug,
            spec,
            env=self._env,
            blobs=self._blobs,
            pace=self._pace,
            spawn=self._spawn,
            on_change=self._changed,
        )

    async def _retire(self, server: Server) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await server.quiet()
        server.stop()

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(self._idle_s / 4)
            for server in self._servers.values():
                server.close_idle(self._idle_s, time.monotonic())

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        # what it logs is not about the run that happened to need it first
        return self._group.create_task(work, name=name, context=Context())

    def _changed(self, name: str) -> None:
        self._bus.publish(McpServerChanged(name))


def _may_use(agent: AgentSpec, slug: str) -> bool:
    """Whether any rule of the agent could match a tool of this server."""
    start = slug + SEPARATOR
    for entry in agent.tools:
        pattern = entry.match if isinstance(entry, ToolRule) else entry
        literal = pattern[: next((at for at, char in enumerate(pattern) if char in _WILD), len(pattern))]
        if literal.startswith(start) or (literal != pattern and start.startswith(literal)):
            return True
    return False


def _status(states: set[str]) -> HealthStatus:
    if not states:
        return "off"
    if states == {"connected"}:
        return "ok"
    return "starting" if "connecting" in states and not states & {"failed", "reconnecting"} else "degraded"
