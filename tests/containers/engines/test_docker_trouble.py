"""A container engine that is absent, out of reach, silent, or gone in the middle of something."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentrt.containers import ContainerOptions, EngineUnavailable, Images
from agentrt.containers.engines import BoxSpec, DockerEngine
from agentrt.kernel import Invalid
from fixtures.boxes import Boxes
from fixtures.dockerd import can_start, own_dockerd
from fixtures.ends import watching
from fixtures.images import IMAGES
from fixtures.nobody import as_nobody

pytestmark = pytest.mark.anyio

SPEC = BoxSpec(id="aaaaaaaaaaaa", image="agentrt-sandbox:000000000000", command=("true",), uid=212_345)


async def sentence(engine: DockerEngine) -> str:
    """What it says to every question, which is the same each time."""
    status = await engine.probe()
    assert not status.ok
    for question in (engine.start(SPEC), engine.remove(SPEC.id), engine.list({}), engine.images(), engine.pause(SPEC.id)):
        with pytest.raises(EngineUnavailable) as refused:
            await question
        assert refused.value.message == status.detail
    assert "/" not in status.detail.replace("docker.io", ""), "no path of this machine leaves"
    return status.detail


async def test_no_socket(tmp_path: Path) -> None:
    async with DockerEngine(f"unix://{tmp_path / 'none.sock'}") as engine:
        assert "install Docker" in await sentence(engine)


async def test_a_socket_that_nobody_listens_at(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    async with DockerEngine(f"unix://{tmp_path / 'left.sock'}") as engine:
        assert "start it" in await sentence(engine)


async def test_a_socket_that_accepts_and_never_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as wedged:
        wedged.bind(str(tmp_path / "wedged.sock"))
        wedged.listen(100)
        async with DockerEngine(f"unix://{tmp_path / 'wedged.sock'}", answer_s=0.2) as engine:
            assert "does not answer" in await sentence(engine)


async def test_a_socket_that_speaks_something_else(tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        writer.close()

    server = await asyncio.start_unix_server(babble, tmp_path / "odd.sock")
    async with server, DockerEngine(f"unix://{tmp_path / 'odd.sock'}") as engine:
        assert "connection" in await sentence(engine)


NONSENSE = ("{}", "null", "[7]", "<html></html>", '{"a":')


@pytest.mark.parametrize("said", NONSENSE)
async def test_a_socket_that_answers_what_no_engine_would(tmp_path: Path, said: str) -> None:
    engine = DockerEngine(f"unix://{tmp_path / 'odd.sock'}")
    async with answering(tmp_path / "odd.sock", said), engine, watching(engine):
        assert "does not speak as one" in await sentence(engine)


async def test_a_probe_that_is_answered_with_the_wrong_kinds_of_values(tmp_path: Path) -> None:
    said = '{"ApiVersion": "1.41", "NCPU": "x", "MemTotal": 0, "MemoryLimit": 1, "PidsLimit": 1, "SecurityOptions": ["seccomp"]}'
    async with answering(tmp_path / "odd.sock", said), DockerEngine(f"unix://{tmp_path / 'odd.sock'}") as engine:
        assert "does not speak as one" in (await engine.probe()).detail


@pytest.mark.parametrize(
    "url", ["", "docker", "ssh://me@host", "npipe:////./pipe/docker_engine", "tcp://host", "tcp://host:99999"]
)
async def test_an_address_that_no_engine_can_have(url: str) -> None:
    async with DockerEngine(url) as engine:
        assert "must be unix://PATH or tcp://HOST:PORT" in (await engine.probe()).detail.replace("unix:///", "unix://")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_socket_that_this_user_may_not_use(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(tmp_path / "closed.sock"))
        closed.listen()
        with as_nobody():
            async with DockerEngine(f"unix://{tmp_path / 'closed.sock'}") as engine:
                assert "group docker" in await sentence(engine)


async def test_an_address_over_tcp(docker_url: str) -> None:
    if not docker_url.startswith("unix://"):
        pytest.skip("the engine of this machine has no socket to forward to")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(docker_url.removeprefix("unix://"))
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, inner_writer))
            group.create_task(pump(inner_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with DockerEngine(f"tcp://127.0.0.1:{port}") as engine:
            assert (await engine.probe()).ok
            assert isinstance(await engine.list({}), list)


async def test_a_runtime_is_passed_through_by_its_name(docker_url: str, sandbox_images: Callable[[str], str]) -> None:
    async with DockerEngine(docker_url, "runc") as engine:
        boxes = Boxes(engine, sandbox_images("docker"))
        try:
            assert await boxes.run("print('ran', flush=True)") == "ran\n"
        finally:
            await boxes.close()
    async with DockerEngine(docker_url, "no-such-runtime") as engine:
        with pytest.raises(Invalid) as refused:
            await engine.start(boxes.spec())
    assert refused.value.param == "runtime"


@pytest.mark.timeout(180)
@pytest.mark.skipif(not can_start(), reason="no second Docker daemon can be started (as root, with the package docker.io)")
async def test_an_engine_that_dies_and_comes_back() -> None:
    with own_dockerd() as daemon:
        image = await Images(IMAGES, ContainerOptions(docker_url=daemon.url, packages=()), "docker").build(print, "host")
        async with DockerEngine(daemon.url) as engine, watching(engine) as ends:
            boxes = Boxes(engine, image)
            wait = "import sys; print('up', flush=True); sys.stdin.readline()"
            before = await boxes.start(wait)
            assert await before.says() == "up"
            await asyncio.to_thread(daemon.stop)
            with pytest.raises(EngineUnavailable):
                await boxes.start(wait)
            with pytest.raises(EngineUnavailable):
                await engine.list({})
            await asyncio.to_thread(daemon.start)
            states = {box.id: box.state for box in await engine.list({})}
            assert states == {before.id: "exited"}
            # whether the events are followed again cannot be asked: boxes end until one is told of
            async with asyncio.timeout(60):
                while not await ends.hears_of(await an_end(boxes, wait), 1):
                    continue
            await boxes.close()


@asynccontextmanager
async def answering(path: Path, said: str) -> AsyncIterator[None]:
    """Something that answers every request with this, as JSON."""
    answer = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(said)}\r\n\r\n{said}".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield


async def an_end(boxes: Boxes, program: str) -> str:
    box = await boxes.start(program)
    await box.says()
    await box.hears("end")
    return box.id


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
