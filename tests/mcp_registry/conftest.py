import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentrt.agents import AgentSpec
from agentrt.bus import Bus
from agentrt.kernel import Principal
from agentrt.mcp_registry import McpRegistry, McpServerSpec, Pace
from agentrt.messages import ToolCall, ToolResult
from agentrt.tools import CallContext, Output, ToolDef

EVERYTHING = AgentSpec(name="all", tools=("*",))
OLDER = Path(__file__).parent / "servers" / "older.py"


class Shelf:
    """Blobs in memory: the one thing of `files.Blobs` that the registry asks for."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, str, str]] = {}

    async def put(self, who: Principal, run_id: str, data: bytes, media_type: str, name: str = "") -> str:
        ident = f"file_{len(self.kept)}"
        self.kept[ident] = (data, media_type, name)
        return ident


class Seat:
    """Somebody who calls tools and hears what they say."""

    def __init__(self, registry: McpRegistry, bus: Bus, shelf: Shelf) -> None:
        self.registry, self.bus, self.shelf = registry, bus, shelf
        self.heard: list[Output] = []
        self.heard_something = asyncio.Event()

    async def tools(self, agent: AgentSpec = EVERYTHING, user: str = "") -> dict[str, ToolDef]:
        return {tool.id: tool for tool in await self.registry.list(agent, Principal(user=user))}

    async def call(self, name: str, arguments: str = "{}", *, timeout_s: float = 20.0, user: str = "") -> ToolResult:
        context = CallContext(
            who=Principal(user=user),
            run_id="run_1",
            session_id=None,
            agent=AgentSpec(name="all"),
            timeout_s=timeout_s,
            idempotency_key="key-1",
            emit=self._hear,
        )
        return await self.registry.call(ToolCall("call_1", name, arguments), context)

    async def until(self, true: Callable[[], bool], within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def state(self, name: str, wanted: str) -> None:
        """Until the server is in that state."""
        await self.until(lambda: self.registry.show(name).state == wanted)

    async def _hear(self, output: Output) -> None:
        self.heard.append(output)
        self.heard_something.set()


@pytest.fixture
def seat():
    """`async with seat(name=spec, …) as s`: a registry of these servers, and somebody to use it."""

    @asynccontextmanager
    async def open_seat(
        env: dict[str, str] | None = None,
        pace: Pace | None = None,
        wait_s: float = 15.0,
        idle_s: float = 300.0,
        **servers: McpServerSpec,
    ) -> AsyncIterator[Seat]:
        bus, shelf = Bus(), Shelf()
        known = {"PATH": os.environ["PATH"], **(env or {})}
        registry = McpRegistry(
            lambda: servers, bus=bus, blobs=shelf, env=known, wait_s=wait_s, idle_s=idle_s, pace=pace or Pace(backoff_s=0.02)
        )
        async with registry:
            yield Seat(registry, bus, shelf)

    return open_seat


@pytest.fixture
def older() -> Callable[..., McpServerSpec]:
    """A stdio server of the older protocol; keywords are those of a server entry."""

    def spec(*arguments: str, **more) -> McpServerSpec:
        return McpServerSpec(command=sys.executable, args=("-S", str(OLDER), *arguments), **more)

    return spec


@pytest.fixture
def echo() -> McpServerSpec:
    """The example server as it is shipped, over stdio and the stateless protocol."""
    folder = Path(__file__).parents[2] / "examples" / "mcp-servers" / "echo"
    return McpServerSpec(command="${AGENTRT_PYTHON}", args=("server.py",), cwd=str(folder))


@pytest.fixture
def everything() -> AgentSpec:
    return EVERYTHING


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def running() -> Iterator[Callable[[int], bool]]:
    yield alive
