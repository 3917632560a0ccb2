"""Where a runner dials home."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog

from agentrt.kernel import TimedOut, Unavailable

from .link import RunnerLink
from .wire import Reply, decode, receive

SOCKET = "c.sock"
RUNNER = Path(__file__).parent / "program"
"""The program of process 1: a folder of the host, mounted read-only at the path that COMMAND names."""
COMMAND = ("python3", "-I", "/opt/agentrt/runner", f"/run/agentrt/{SOCKET}")
_CREDENTIALS = struct.Struct("3i")
log = structlog.get_logger(__name__)


class Dock:
    """Listens at `folder`/c.sock for one runner, that of the box whose only way here is this folder.

    `async with Dock(folder) as dock:` start the box, then `await dock.link(...)`. The socket is gone after that.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listener: socket.socket | None = None

    async def __aenter__(self) -> Self:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.setblocking(False)
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # an address is at most 107 bytes; a path may be longer
            listener.bind(f"/proc/self/fd/{folder}/{SOCKET}")
            os.chmod(SOCKET, 0o666, dir_fd=folder)
            listener.listen(8)
        except BaseException:
            listener.close()
            raise
        finally:
            os.close(folder)
        self._listener = listener
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    async def link(self, owns: Callable[[int], Awaitable[bool]], timeout_s: float) -> RunnerLink:
        """The runner that dialled home, once. `owns` says whether a process of the host is of the box: who is not is hung up on.

        TimedOut where nobody came within `timeout_s`; Unavailable where what came does not speak as a runner does.
        """
        try:
            async with asyncio.timeout(timeout_s):
                control = await self._accept(owns)
                self._close()
                return await self._greet(control)
        except TimeoutError as error:
            raise TimedOut("The container started, but its runner did not answer in time.") from error
        finally:
            self._close()

    async def _accept(self, owns: Callable[[int], Awaitable[bool]]) -> socket.socket:
        listener = self._listener
        if listener is None:
            raise Unavailable("The runner has been here already.")
        while True:
            await _readable(listener)
            try:
                control, _ = listener.accept()
            except BlockingIOError:
                continue
            try:
                control.setblocking(False)
                pid = _CREDENTIALS.unpack(control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
                if await owns(pid):
                    return control
            except BaseException:
                control.close()
                raise
            control.close()
            log.warning("runner.refused", pid=pid)

    async def _greet(self, control: socket.socket) -> RunnerLink:
        try:
            await _readable(control)
            raw, fds = receive(control)
            for fd in fds:
                os.close(fd)
            hello: Reply = decode(raw)
        except msgspec.DecodeError as error:
            control.close()
            raise Unavailable("What runs in the container does not speak as a runner does.") from error
        except BaseException:
            control.close()
            raise
        return RunnerLink(control, hello.missing)

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            with contextlib.suppress(FileNotFoundError):
                (self._folder / SOCKET).unlink()


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(sock.fileno(), lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())
