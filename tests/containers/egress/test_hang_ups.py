"""Callers that hang up in the middle of everything: on the loop of the server, which tells of it in its own way."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentrt.containers import Upstream
from agentrt.containers.egress import Ports
from containers.egress.conftest import Open, Outlet
from containers.egress.test_ports import Line
from fixtures.raw_http import RawServer, chunked

pytestmark = pytest.mark.anyio

HOST = b"Host: a\r\n"
BEGINNINGS = {
    "a request that is refused": b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n",
    "no request": b"nonsense\r\n\r\n",
    "a question to an upstream": b"GET /up/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "many questions": (b"GET /up/x HTTP/1.1\r\n" + HOST + b"\r\n") * 30,
    "half a body": b"POST /up/x HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nhalf",
    "half a body for nobody": b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 9000000\r\n\r\n" + bytes(100_000),
    "a body that waits to be asked for": b"POST /up/x HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "a question to a model": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT nowhere.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio", {"use_uvloop": True}


async def answers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(20):
        await send({"type": "http.response.body", "body": bytes(50_000), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
async def outlet(open_: Open, upstream: RawServer) -> AsyncIterator[Outlet]:
    upstream.answer = chunked(*[bytes(50_000)] * 20)
    async with open_({"up": Upstream(origin=upstream.origin)}, application=answers, rule={"models": True}) as opened:
        yield opened


async def hang_up(connection: socket.socket, said: bytes, after: int) -> None:
    """Say this, read so many bytes, and be gone, as a process that is killed."""
    loop = asyncio.get_running_loop()
    with connection:
        await loop.sock_sendall(connection, said)
        if after:
            await loop.sock_recv(connection, after)
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("name", BEGINNINGS)
async def test_who_hangs_up_is_nobody_s_mistake(outlet: Outlet, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await outlet.egress.listen("box0000000000001", listener.dup())
        async with asyncio.timeout(40):
            for after in (0, 0, 0, 1, 1):
                connection = socket.socket()
                connection.setblocking(False)
                await loop.sock_connect(connection, listener.getsockname())
                await hang_up(connection, BEGINNINGS[name], 0 if "half" in name else after)
            await outlet.audited(5 if "half" not in name else 1)
            # who comes afterwards is served
            assert (await outlet.ask("GET", "/nowhere")).status == 404
    out, err = capfd.readouterr()
    assert "egress.crashed" not in out + err


async def test_who_hangs_up_on_a_published_port_is_nobody_s_mistake(capfd: pytest.CaptureFixture[str]) -> None:
    loop = asyncio.get_running_loop()
    async with RawServer() as app, Ports(idle_s=5) as ports, asyncio.timeout(40):
        app.answer = chunked(*[bytes(50_000)] * 20)
        port = await ports.publish(Line(), app.port)
        good = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        for said in (good, good.replace(b"127", b"evil"), b"\0raw", good[:20], b"GET / HTTP/9\r\n\r\n"):
            for after in (0, 0, 1):
                connection = socket.socket()
                connection.setblocking(False)
                await loop.sock_connect(connection, ("127.0.0.1", port))
                await hang_up(connection, said, after if said == good else 0)
    out, err = capfd.readouterr()
    assert "crashed" not in out + err
