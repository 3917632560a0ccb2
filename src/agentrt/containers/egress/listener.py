"""Accepts connections by itself. A server of asyncio that is closed in the same round in which somebody calls forgets that
connection open; here whoever was accepted has an owner, and who was not is hung up on."""

import asyncio
import socket
from collections.abc import Callable

from .relay import Ends

_AT_ONCE = 64
_PAUSE_S = 1.0


class Listener:
    """`take` is given each connection, and owns it from then on. Closes `sock`."""

    def __init__(self, sock: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self._loop, self._socket, self._take = asyncio.get_running_loop(), sock, take
        sock.setblocking(False)
        self._resume()

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _address = self._socket.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:  # no descriptors are left: later, not again and again
                self._loop.remove_reader(self._socket.fileno())
                self._loop.call_later(_PAUSE_S, self._resume)
                return
            connection.setblocking(False)
            self._take(connection)


async def streams(connection: socket.socket) -> Ends:
    """The two ends of an accepted connection."""
    if connection.family == socket.AF_UNIX:
        return await asyncio.open_unix_connection(sock=connection)
    return await asyncio.open_connection(sock=connection)
