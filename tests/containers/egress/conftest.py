import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentrt.agents import SandboxRule
from agentrt.containers import Upstream
from agentrt.containers.egress import Egress, Grant
from agentrt.events import EgressRequested, StoredEvent
from agentrt.kernel import Principal
from fixtures.raw_http import RawServer

SECRET = "sk-live-0123456789abcdef/+="
BOX = "box0000000000001"
RUN = "run_1"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Log(list[EgressRequested]):
    """What was written down. `grown`: something was, since it was last cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.grown = asyncio.Event()


class Outlet:
    """An open way out of one box, as the code in the box sees it, and what was written down of it."""

    def __init__(self, egress: Egress, folder: Path, log: Log, clock: Clock) -> None:
        self.egress, self.folder, self.log, self.clock = egress, folder, log, clock

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.folder / "proxy.sock")

    async def say(self, data: bytes, *, ends: bool = False) -> bytes:
        """All that comes back until the proxy hangs up; where it `ends`, the box hangs up first, as far as it can."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(30):
                writer.write(data)
                await writer.drain()
                if ends:
                    writer.write_eof()
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def ask(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> "Answer":
        """One request on a connection of its own."""
        head = {"host": "localhost", "connection": "close"} | (headers or {})
        if body and "transfer-encoding" not in head:
            head["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(30):
                writer.write(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body)
                return Answer(await reader.read())
        finally:
            writer.close()

    async def bind(self, **rule: Any) -> None:
        grant = Grant(who=Principal(user="anna"), rule=SandboxRule(**rule), run_id=RUN, session="s1")
        await self.egress.bind(BOX, grant)

    async def audited(self, count: int = 1) -> list[EgressRequested]:
        """What was written down, once there are so many."""
        async with asyncio.timeout(30):
            while len(self.log) < count:
                self.log.grown.clear()
                await self.log.grown.wait()
        return self.log


class Answer:
    """An answer in pieces."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if first else 0
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = unchunked(rest) if self.headers.get("transfer-encoding") == "chunked" else rest


def unchunked(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        out, data = out + data[:count], data[count + 2 :]
    return out


Open = Callable[..., AbstractAsyncContextManager[Outlet]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a box, as deep as folders are in practice: its socket's path is too long to bind by itself."""
    deep = tmp_path / ("x" * 120) / "ctl"
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def open_(tmp_path: Path) -> Open:
    """A way out with these upstreams, bound to a grant that lets all of them through."""

    @asynccontextmanager
    async def opened(
        upstreams: dict[str, Upstream] | None = None,
        *,
        application: Any = None,
        env: dict[str, str] | None = None,
        rule: dict[str, Any] | None = None,
        **options: Any,
    ) -> AsyncIterator[Outlet]:
        log = Log()
        clock = Clock()

        async def record(who: Principal, run_id: str, events: Sequence[StoredEvent]) -> None:
            assert run_id == RUN
            log.extend(event for event in events if isinstance(event, EgressRequested))
            log.grown.set()

        known = {"SECRET": SECRET, "OTHER": "another-credential", "SHORT": "abc"} | (env or {})
        given = upstreams or {}
        folder = tmp_path / "ctl"
        folder.mkdir(exist_ok=True)
        async with Egress(given, known, lambda: application, record, now=clock, **options) as egress:
            await egress.open(BOX, folder)
            outlet = Outlet(egress, folder, log, clock)
            await outlet.bind(**({"upstreams": tuple(given)} | (rule or {})))
            yield outlet
        assert os.listdir(folder) == []

    return opened


@pytest.fixture
async def upstream() -> AsyncIterator[RawServer]:
    """A server whose answers are bytes that the test says; it keeps the bytes that it was sent."""
    async with RawServer() as server:
        yield server
