"""Sockets that listen for one party, and the connections that come of them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import structlog

from .listener import Listener, streams
from .relay import Ends, close

log = structlog.get_logger()


class Connections:
    """Each is served in a task of its own, which `group` owns; at most `most` at once, and the next ones are hung up on. `serve`
    may raise OSError, which is an end like others; a mistake in it ends that connection alone."""

    def __init__(self, group: asyncio.TaskGroup, most: int, serve: Callable[[Ends], Awaitable[None]], name: str) -> None:
        self._group, self._most, self._serve, self._name = group, most, serve, name
        self._listeners: list[Listener] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, listener: socket.socket) -> None:
        """Serve whoever connects to this socket from now on."""
        self._listeners.append(Listener(listener, self._take))

    async def close(self, within_s: float) -> None:
        """Stop listening, and end the connections that there are; they are waited for no longer than that."""
        for listener in self._listeners:
            listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)

    def _take(self, connection: socket.socket) -> None:
        if len(self._tasks) >= self._most:
            connection.close()
            return
        task = self._group.create_task(self._carry(connection), name=self._name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda ended: connection.close() if ended.cancelled() else None)  # before it could begin

    async def _carry(self, connection: socket.socket) -> None:
        try:
            ends = await streams(connection)
        except (OSError, asyncio.CancelledError):
            connection.close()
            return
        try:
            await self._serve(ends)
        except (OSError, asyncio.CancelledError):  # the other side left, or this was closed
            return
        except Exception:  # one connection's mistake ends that connection
            log.exception("egress.crashed", connection=self._name)
        finally:
            await close(ends[1])
