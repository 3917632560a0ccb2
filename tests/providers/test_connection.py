"""The connection by itself, on a loop's transport that only writes down what it is told: bytes may be cut anywhere."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from agentrt.providers.connection import Connection
from agentrt.providers.connection_failures import Broken, HttpFailure, NotHttp

pytestmark = pytest.mark.anyio

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nHello\r\n8;name=value\r\n, \xf0\x9f\x8c\x8d\r\n\r\n0\r\nX-Trailer: x\r\n\r\n"
)
SAID = "Hello, 🌍\r\n".encode()


class Wire(asyncio.Transport):
    """Loses the connection in the next round of the loop once it is aborted, as real ones do."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.reading = True
        self.aborted = False
        self.connection = Connection(asyncio.get_running_loop(), lambda connection: None)
        self.connection.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[Wire, "asyncio.Task[bytes]"]]:
    """A connection that was asked, and a task that reads its answer to the end."""
    wire = Wire()

    async def whole() -> bytes:
        await wire.connection.ask(b"GET / HTTP/1.1\r\n\r\n")
        return b"".join([piece async for piece in pieces(wire.connection)])

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(whole())
        await asyncio.sleep(0)  # it asks
        yield wire, reading


async def pieces(connection: Connection) -> AsyncIterator[bytes]:
    while piece := await connection.read():
        yield piece


def halves(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    return ((data[:cut], data[cut:]) for cut in range(1, len(data)))


async def test_a_chunked_answer_may_be_cut_anywhere() -> None:
    for parts in (*halves(CHUNKED), [bytes([byte]) for byte in CHUNKED], [CHUNKED]):
        async with asked() as (wire, reading):
            for part in parts:
                wire.connection.data_received(part)
                await asyncio.sleep(0)
        assert reading.result() == SAID
        assert wire.connection.headers == {b"content-type": b"text/event-stream", b"transfer-encoding": b"chunked"}
        assert wire.connection.rest()


async def test_what_came_in_one_go_is_read_in_one_piece() -> None:
    wire = Wire()
    async with asyncio.TaskGroup() as group:
        group.create_task(wire.connection.ask(b"GET / HTTP/1.1\r\n\r\n"))
        await asyncio.sleep(0)
        wire.connection.data_received(CHUNKED)
    assert [piece async for piece in pieces(wire.connection)] == [SAID]
    assert wire.sent == [b"GET / HTTP/1.1\r\n\r\n"]


async def test_a_reader_that_falls_behind_lets_the_sender_wait() -> None:
    wire = Wire()
    async with asyncio.TaskGroup() as group:
        group.create_task(wire.connection.ask(b""))
        await asyncio.sleep(0)
        wire.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(5):
        wire.connection.data_received(b"x" * 60_000)
    assert not wire.reading
    assert len(await wire.connection.read()) == 300_000
    assert wire.reading
    wire.connection.data_received(b"x" * 700_000)
    assert wire.reading, "the answer is complete: nothing more is to come"
    assert len(await wire.connection.read()) == 700_000
    assert wire.connection.rest()


@pytest.mark.parametrize("cut", [1, 100, len(CHUNKED) - 1])
async def test_an_end_before_the_end_is_no_end(cut: int) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with asked() as (wire, _):
            wire.connection.data_received(CHUNKED[:cut])
            wire.abort()
    assert isinstance(caught.value.exceptions[0], Broken)


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "bomb",
    [
        [b"HTTP/1.1 200 ", *[b"O" * 1000] * 100],
        [b"HTTP/1.1 200 OK\r\nX: ", *[b"x" * 1000] * 100],
        [b"HTTP/1.1 200 OK\r\n", *[b"X-Header: of some length\r\n"] * 10_000],
        [HEAD + b"\r\n5;", *[b"x" * 1000] * 100],
        [HEAD + b"\r\n1\r\nx\r\n0\r\n", *[b"X-Trailer: of some length\r\n"] * 10_000],
        [b"".join([b"HTTP/1.1 200 OK\r\n", *[b"X-Header: of some length\r\n"] * 10_000, b"\r\n"])],
    ],
    ids=["reason", "header", "headers", "chunk extension", "trailers", "at once"],
)
async def test_a_head_without_end_is_refused(bomb: list[bytes]) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with asked() as (wire, _):
            for part in bomb:
                if not wire.aborted:
                    wire.connection.data_received(part)
    failure = caught.value.exceptions[0]
    assert isinstance(failure, NotHttp)
    assert wire.aborted


async def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    wire = Wire()
    assert wire.connection.idle
    wire.connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert wire.aborted
    assert not wire.connection.idle
    with pytest.raises(HttpFailure):
        await wire.connection.ask(b"")
