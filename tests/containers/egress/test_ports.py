"""Ports of boxes on this machine's loopback: each an origin of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from agentrt.containers import SandboxGone
from agentrt.containers.egress import Ports
from agentrt.kernel import Conflict
from fixtures.raw_http import RawServer, plain

pytestmark = pytest.mark.anyio


class Line:
    """The way into a box that is this machine: what a runner does inside is done here."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    async def dial(self, port: int) -> socket.socket:
        if self.lost.is_set():
            raise SandboxGone("The sandbox ended.")
        connection = socket.socket()
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return connection


@pytest.fixture
async def ports() -> AsyncIterator[Ports]:
    async with Ports(idle_s=5) as made:
        yield made


@pytest.fixture
async def app() -> AsyncIterator[RawServer]:
    """What listens inside."""
    async with RawServer() as server:
        yield server


async def call(port: int, data: bytes, *, ends: bool = False) -> bytes:
    """All that comes back."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            if ends:
                writer.write_eof()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def get(host: str, more: str = "") -> bytes:
    return f"GET /x HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


async def test_a_request_goes_in_and_its_answer_comes_out(ports: Ports, app: RawServer) -> None:
    port = await ports.publish(Line(), app.port)
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        app.answer = plain(b"hello")
        said = await call(port, get(f"{host}:{port}", "Accept: text/plain\r\n"))
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert said.endswith(b"\r\n\r\nhello")
    assert b"accept: text/plain\r\n" in app.requests[0]


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}.evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example:{port}\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example:{port}\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : 127.0.0.1:{port}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n X: folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\nHost: evil.example\n\n",
        # a page asks by any method
        "patch / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n",
        "x!#$%&'*+.^_`|~9 / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n",
        "METHODSOFMORETHANTWENTYCHARACTERS / HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "GET / http/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    ],
)
async def test_a_page_whose_name_was_made_to_point_here_gets_nothing(ports: Ports, app: RawServer, request_: str) -> None:
    port = await ports.publish(Line(), app.port)
    said = await call(port, request_.format(port=port).encode())
    assert said.startswith(b"HTTP/1.1 403 ")
    assert app.requests == []


async def test_no_cookie_goes_in_or_comes_out(ports: Ports, app: RawServer) -> None:
    """Browsers send the cookies of 127.0.0.1 to all of its ports: those of the API are not for code in a box to read or set."""
    app.answer = plain(b"x", b"set-cookie: session=stolen\r\nSet-Cookie2: a=b\r\nx-kept: 1\r\n")
    port = await ports.publish(Line(), app.port)
    said = await call(port, get(f"127.0.0.1:{port}", "Cookie: session=secret\r\ncookie: b=c\r\n"))
    assert b"cookie" not in app.requests[0].lower()
    assert b"cookie" not in said.lower()
    assert b"x-kept: 1" in said
    assert b"connection: close" in said, "what would follow on this connection was not looked at"


async def test_a_first_line_without_end_goes_nowhere(ports: Ports, app: RawServer) -> None:
    port = await ports.publish(Line(), app.port)
    said = await call(port, get(f"127.0.0.1:{port}", "Cookie: a=b\r\n").replace(b"/x", b"/" + b"x" * 100_000))
    assert app.requests == []
    assert b" 200 " not in said


@pytest.mark.parametrize("method", ["patch", "VERSION-CONTROL", "A" * 30])
async def test_no_method_brings_a_cookie_along(ports: Ports, app: RawServer, method: str) -> None:
    port = await ports.publish(Line(), app.port)
    asked = get(f"127.0.0.1:{port}", "Cookie: session=secret\r\n").replace(b"GET", method.encode(), 1)
    assert (await call(port, asked)).startswith(b"HTTP/1.1 200 ")
    assert app.requests[0].startswith(method.encode() + b" /x HTTP/1.1\r\n")
    assert b"cookie" not in app.requests[0].lower()


ODD_ANSWERS = {
    "keeps the connection": plain(b"x", b"upgrade: websocket\r\nconnection: keep-alive\r\n"),
    "changes the protocol unasked": b"HTTP/1.1 101 Go\r\nupgrade: x\r\n\r\n" + plain(b"x", b"set-cookie: a=b\r\n"),
    "has a status that is read in two ways": b"HTTP/1.1 100Go\r\nx: y\r\n\r\n" + plain(b"x", b"set-cookie: a=b\r\n"),
    "has a signed status": b"HTTP/1.1 +100 Go\r\nx: y\r\n\r\n" + plain(b"x", b"set-cookie: a=b\r\n"),
}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
async def test_no_answer_leads_to_what_is_not_looked_at(ports: Ports, app: RawServer, odd: str) -> None:
    """Not to a second request on its connection, whose cookies would go in, nor to a second answer, whose would come out."""
    app.answer = ODD_ANSWERS[odd]
    port = await ports.publish(Line(), app.port)
    said = await call(port, get(f"127.0.0.1:{port}"))
    assert b"connection: close" in said
    assert b"keep-alive" not in said and b"set-cookie" not in said


async def test_a_web_socket_that_is_declined_ends_with_its_answer(ports: Ports, app: RawServer) -> None:
    app.answer = plain(b"no", b"connection: keep-alive\r\n", b"426 Upgrade Required")
    port = await ports.publish(Line(), app.port)
    said = await call(port, get(f"127.0.0.1:{port}", "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    assert said.startswith(b"HTTP/1.1 426 ") and b"connection: close" in said


async def test_a_head_that_comes_byte_by_byte_is_judged_whole(ports: Ports, app: RawServer) -> None:
    port = await ports.publish(Line(), app.port)
    async with asyncio.timeout(30):
        for host, status in ((f"127.0.0.1:{port}", b"200"), ("evil.example", b"403")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for byte in get(host, "Cookie: a=b\r\n"):
                writer.write(bytes([byte]))
                await writer.drain()
            assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
            writer.close()
    assert len(app.requests) == 1
    assert b"cookie" not in app.requests[0].lower()


async def test_an_answer_whose_head_comes_alone_comes_whole(ports: Ports, app: RawServer) -> None:
    go = asyncio.Event()

    async def slowly(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        await writer.drain()
        await go.wait()
        writer.write(b"later")

    app.answer = slowly
    port = await ports.publish(Line(), app.port)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(f"127.0.0.1:{port}"))
        await reader.readuntil(b"\r\n\r\n")
        go.set()
        assert await reader.readexactly(5) == b"later"
        writer.close()


async def test_interim_answers_and_web_sockets_go_through(ports: Ports, app: RawServer) -> None:
    async def talks(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nset-cookie: a=b\r\nlink: </x>\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x02hi")

    app.answer = talks
    port = await ports.publish(Line(), app.port)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(f"127.0.0.1:{port}", "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        early = await reader.readuntil(b"\r\n\r\n")
        assert b"103" in early
        assert b"cookie" not in early
        switched = await reader.readuntil(b"\r\n\r\n")
        assert b"upgrade: websocket" in switched
        assert b"connection: upgrade" in switched
        assert await reader.readexactly(4) == b"\x81\x02hi"
        writer.close()
    assert b"connection: Upgrade" in app.requests[0]


@pytest.fixture
async def tcp() -> AsyncIterator[Callable[[Callable[..., Awaitable[None]]], Awaitable[int]]]:
    """Starts servers that speak anything."""
    servers: list[asyncio.Server] = []

    async def start(handler: Callable[..., Awaitable[None]]) -> int:
        servers.append(await asyncio.start_server(handler, "127.0.0.1", 0))
        return servers[-1].sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()


async def test_other_protocols_go_through_both_ways_and_half_closed(ports: Ports, tcp) -> None:
    async def mirrors(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read()
        writer.write(said[::-1])
        await writer.drain()
        writer.close()

    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    assert (
        await call(await ports.publish(Line(), await tcp(mirrors)), b"\x00\x01abc" * 50_000, ends=True) == b"cba\x01\x00" * 50_000
    )
    assert await call(await ports.publish(Line(), await tcp(greets)), b"EHLO me\r\n") == b"220 hello\r\nEHLO me\r\n"
    second = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert await call(await ports.publish(Line(), await tcp(mirrors)), second, ends=True) == second[::-1]
    # who speaks first cannot be asked by HTTP afterwards, which would bring cookies along unseen
    port = await ports.publish(Line(), await tcp(greets))
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readline() == b"220 hello\r\n"
        writer.write(get(f"127.0.0.1:{port}", "Cookie: a=b\r\n"))
        assert b"Cookie" not in await reader.read()
        writer.close()


@pytest.mark.parametrize("before", [b"", b"junk", b"\r\n\r\n"])
async def test_an_answer_before_the_question_is_looked_at_all_the_same(ports: Ports, tcp, before: bytes, capfd) -> None:
    """A browser connects ahead, and takes what lies there for the answer to what it asks later."""
    said = asyncio.Event()

    async def answers_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (before, b"HT", b"TP/1.1 200 OK\r\nSet-Cookie: a=b\r\n", b"content-length: 2\r\n\r\nok"):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        said.set()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    port = await ports.publish(Line(), await tcp(answers_first))
    async with asyncio.timeout(30):
        for question in (get(f"127.0.0.1:{port}"), get("evil.example.com")):
            said.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await said.wait()
            for _ in range(200):  # it had time enough to come through
                await asyncio.sleep(0)
            writer.write(question)
            with suppress(ConnectionError):
                assert b"cookie" not in (await reader.read()).lower()
            writer.close()
    out, err = capfd.readouterr()
    assert "crashed" not in out + err


async def test_a_port_where_nothing_listens_inside_says_so(ports: Ports) -> None:
    port = await ports.publish(Line(), 1)
    assert (await call(port, get(f"127.0.0.1:{port}"))).startswith(b"HTTP/1.1 502 ")


async def test_what_says_nothing_for_long_is_ended(app: RawServer) -> None:
    async with Ports(idle_s=0.05) as ports:
        port = await ports.publish(Line(), app.port)
        assert await call(port, b"GET ") == b""


async def test_a_port_outlives_its_box_and_is_the_same_for_the_next_one(ports: Ports, app: RawServer) -> None:
    line = Line()
    port = await ports.publish(line, app.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET ")
    await writer.drain()
    line.lost.set()
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    assert await call(port, get(f"127.0.0.1:{port}")) == b""
    assert await ports.publish(Line(), app.port, preferred=port) == port
    assert (await call(port, get(f"127.0.0.1:{port}"))).startswith(b"HTTP/1.1 200 ")
    await ports.withdraw(port)
    await ports.withdraw(port)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    assert await ports.publish(Line(), app.port, preferred=port) == port, "also after a restart of the server"


async def test_a_preferred_port_that_is_taken_is_an_error_and_not_another_port(ports: Ports, app: RawServer) -> None:
    with pytest.raises(Conflict, match=str(app.port)):
        await ports.publish(Line(), app.port, preferred=app.port)
    port = await ports.publish(Line(), app.port)
    with pytest.raises(Conflict):  # of another box that is alive
        await ports.publish(Line(), app.port, preferred=port)


async def test_no_worker_stays_in_a_browser(ports: Ports, app: RawServer) -> None:
    port = await ports.publish(Line(), app.port)
    said = await call(port, get(f"127.0.0.1:{port}", "Service-Worker: script\r\n"))
    assert said.startswith(b"HTTP/1.1 403 ") and app.requests == []


async def test_a_port_that_served_a_box_once_is_known_for_good(ports: Ports, app: RawServer) -> None:
    port = await ports.publish(Line(), app.port)
    await ports.withdraw(port)
    assert ports.serves(port) and not ports.serves(app.port)


async def test_an_answer_that_cannot_be_read_is_a_refusal_and_no_mistake_of_ours(ports: Ports, app: RawServer, capfd) -> None:
    app.answer = plain(b"x", b"x-long: " + b"a" * 300_000 + b"\r\n")
    port = await ports.publish(Line(), app.port)
    assert (await call(port, get(f"127.0.0.1:{port}"))).startswith(b"HTTP/1.1 403 ")
    out, err = capfd.readouterr()
    assert "crashed" not in out + err
