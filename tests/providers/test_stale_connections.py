"""When a request may be sent again unseen: only where the peer cannot have been at work on it."""

import asyncio
from typing import Any, cast

import pytest

from agentrt.providers.connection import Connection
from agentrt.providers.connection_failures import Broken

pytestmark = pytest.mark.anyio

REQUEST = b"POST / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Clocked:
    """The running loop, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.create_future = asyncio.get_running_loop().create_future

    def time(self) -> float:
        return self.now


class Wire(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        pass


@pytest.mark.parametrize(
    ("served", "seconds", "stale"),
    [(True, 0.2, True), (True, 60.0, False), (False, 0.2, False)],
    ids=["given up while idle", "died at work", "never used before"],
)
async def test_a_connection_is_stale_that_served_before_and_broke_at_once(served: bool, seconds: float, stale: bool) -> None:
    loop = Clocked()
    connection = Connection(cast(asyncio.AbstractEventLoop, cast(Any, loop)), lambda connection: None)
    connection.connection_made(Wire())

    async def breaks() -> None:
        with pytest.raises(Broken):
            await connection.ask(REQUEST)

    async with asyncio.TaskGroup() as group:
        if served:
            group.create_task(connection.ask(REQUEST))
            await asyncio.sleep(0)  # it asks
            connection.data_received(OK)
            assert connection.rest()
        group.create_task(breaks())
        await asyncio.sleep(0)
        loop.now += seconds
        connection.connection_lost(None)
    assert connection.stale is stale
