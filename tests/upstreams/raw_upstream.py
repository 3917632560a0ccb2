"""A server of raw bytes: each connection plays a script, so that a test says exactly what is sent and when."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any


class Peer:
    """The server's end of one connection. `gone` is set once the client has left."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def request(self) -> str:
        """The head of the next request; empty where the client left instead."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = next((line for line in head.lower().split("\r\n") if line.startswith("content-length:")), ":0")
            await self._reader.readexactly(int(length.partition(":")[2]))
            return head
        return ""

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def gone(self) -> None:
        with suppress(ConnectionError):
            while await self._reader.read(65536):
                pass


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """Plays a script on every connection, the last one again and again."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self._scripts = scripts
        self.connections = 0
        self.running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(Peer(reader, writer))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def silent(self) -> None:
        """Return once every script has ended."""
        if self.running:
            _, late = await asyncio.wait(self.running, timeout=5)
            assert not late, "a script did not end when the client left"
