"""The two ways through the wall of a real box: sockets that its runner makes inside and hands out."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from agentrt.agents import SandboxRule
from agentrt.containers import Limits, Upstream
from agentrt.containers.egress import PORT, Egress, Grant, Ports, environment
from agentrt.containers.engines import BoxSpec, Engine, Mount
from agentrt.containers.runner import COMMAND, RUNNER, Dock, Job, RunnerLink
from agentrt.events import StoredEvent
from agentrt.kernel import Principal
from fixtures.raw_http import RawServer

pytestmark = pytest.mark.anyio

UID = 212_346
BOX = "egress0box01"
SERVE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = repr(sorted(name.lower() for name in self.headers)).encode()
        self.send_response(200)
        self.send_header("set-cookie", "a=b")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
ASK = """
import os, urllib.request
with urllib.request.urlopen(os.environ["UP_BASE_URL"] + "/x") as answer:
    print(answer.status, answer.read().decode())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """What the box sees at /run/agentrt; everybody may enter it, which those of pytest are not."""
    made = Path(tempfile.mkdtemp(prefix="agentrt-egress-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def egress(folder: Path, upstream: RawServer) -> AsyncIterator[Egress]:
    async def record(who: Principal, run_id: str, events: Sequence[StoredEvent]) -> None: ...

    entry = Upstream(origin=upstream.origin, header="x-key", value="${KEY}")
    async with Egress({"up": entry}, {"KEY": "a-credential-0123"}, lambda: None, record) as made:
        await made.open(BOX, folder)
        yield made


@pytest.fixture
async def link(engine: Engine, sandbox_image: str, folder: Path, egress: Egress) -> AsyncIterator[RunnerLink]:
    async def owns(pid: int) -> bool:
        return await engine.owns(BOX, pid)

    mounts = (Mount(source=folder, target="/run/agentrt"), Mount(source=RUNNER, target=COMMAND[2]))
    limits = Limits(memory_mb=128, pids=32)
    async with Dock(folder) as dock:
        try:
            await engine.start(BoxSpec(id=BOX, image=sandbox_image, command=COMMAND, uid=UID, limits=limits, mounts=mounts))
            made = await dock.link(owns, 30)
            yield made
            made.close()
        finally:
            await engine.remove(BOX)


async def run(link: RunnerLink, code: str, env: dict[str, str]) -> str:
    said = bytearray()
    job = Job(mode="python", code=code, cwd="/tmp", env=env)
    outcome = await link.run(job, lambda stream, data: said.extend(data))
    assert outcome.exit_code == 0, said.decode()
    return said.decode()


async def test_an_sdk_inside_calls_an_upstream_by_tcp(link: RunnerLink, egress: Egress, upstream: RawServer) -> None:
    rule = SandboxRule(upstreams=("up",))
    await egress.listen(BOX, await link.listen(PORT))
    await egress.bind(BOX, Grant(who=Principal(), rule=rule, run_id="run_1"))
    assert await run(link, ASK, environment(rule)) == "200 ok\n"
    assert await run(link, ASK, environment(rule)) == "200 ok\n", "nothing of it was cleaned up after the first job"
    assert b"x-key: a-credential-0123\r\n" in upstream.requests[0]
    with pytest.raises(OSError):
        await link.listen(PORT)


async def test_a_port_of_a_box_without_network_is_served_here(link: RunnerLink) -> None:
    async with Ports() as ports, asyncio.TaskGroup() as group, asyncio.timeout(40):
        port = await ports.publish(link, 8000)
        server = group.create_task(link.run(Job(mode="python", code=SERVE, cwd="/tmp"), lambda stream, data: None))
        answer = b"HTTP/1.1 502 "
        while answer.startswith(b"HTTP/1.1 502 "):  # until it listens
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: a=b\r\nAccept: */*\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
        assert answer.endswith(b"['accept', 'connection', 'host']")
        assert b"set-cookie" not in answer.lower()
        link.close()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.readexactly(1)
        writer.close()
        await server
