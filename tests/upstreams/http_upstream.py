"""A provider for tests: real HTTP on a loopback port, scriptable in its faults. Each wire has one that is faithful to it.

It runs in a thread of its own, so that the server under test may be in this process or in another one.
"""

import asyncio
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

End = Literal["end", "cut", "reset", "hang"]


class Gate:
    """A place in a reply where the upstream stops until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._is_open = False
        self._wake: Callable[[], object] | None = None

    def open(self) -> None:
        self._is_open = True
        if self._wake is not None:
            self._wake()

    async def passing(self) -> None:
        opened, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(opened.set)
        self.reached.set()
        if not self._is_open:
            await opened.wait()


@dataclass(frozen=True)
class Reply:
    """An answer: `frames` are bytes to send, seconds to pause, or gates; `end` is how the connection is left.

    `end`: the body ends well; `cut`: the connection closes in its middle; `reset`: it is torn down; `hang`: nothing more
    comes until the client hangs up. With status 0 not even a head comes.
    """

    frames: Sequence[bytes | float | Gate] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/event-stream; charset=utf-8"),)
    end: End = "end"


@dataclass
class Request:
    """What the client sent. `hung_up`: it left before the reply was over."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    hung_up: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)


def event(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()) + b"\n\n"


def page(status: int = 200) -> Reply:
    """A web page, as gateways and mistyped addresses answer."""
    return Reply([b"<!DOCTYPE html><html><body>Welcome</body></html>"], status, (("content-type", "text/html"),))


class Upstream:
    """Answers requests to its model with the replies of its script, in order, and with `default` once they are used up."""

    def __init__(self, default: Reply) -> None:
        self.default = default
        self.answer: Callable[[Request], Reply | None] = lambda request: None  # asked first; None: as scripted
        self.requests: list[Request] = []
        self.connections = 0
        self._script: deque[Reply] = deque()
        self._accepted: set[socket.socket] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._moved = threading.Condition()
        # Named as TCP, or asyncio would leave Nagle's delay on.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(512)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """Where it is asked, as people would configure it."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def is_chat(self, request: Request) -> bool:
        """Whether its model is asked; what is no chat is answered by `aside`."""
        raise NotImplementedError

    def aside(self, request: Request) -> Reply:
        """The answer to anything else, such as the list of models."""
        raise NotImplementedError

    def unstreamed(self, reply: Reply) -> Reply:
        """What the provider answers to the same request without streaming."""
        raise NotImplementedError

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order."""
        self._script.extend(replies)

    def reset(self) -> None:
        """Forget what was asked and what is scripted."""
        self.requests.clear()
        self._script.clear()

    @property
    def chats(self) -> list[Request]:
        """The requests to its model."""
        return [request for request in self.requests if self.is_chat(request)]

    def wait_for_chat(self, number: int = 1, within_s: float = 30) -> Request:
        """The request number `number` (from 1), waiting until it is there."""
        with self._moved:
            assert self._moved.wait_for(lambda: len(self.chats) >= number, within_s), "the upstream was not asked"
        return self.chats[number - 1]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()
        self._socket.close()

    async def _serve(self) -> None:
        """Takes connections by itself: whatever the moment at which it is stopped, each socket has somebody who closes it."""
        self._socket.setblocking(False)
        tasks: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as group:

            def accept() -> None:
                # not `sock_accept`: cancelled in the round that brings a connection it would drop that, open
                with suppress(BlockingIOError, ConnectionAbortedError):
                    sock, _ = self._socket.accept()
                    self._accepted.add(sock)
                    tasks.append(group.create_task(self._connection(sock)))

            self._loop.add_reader(self._socket, accept)
            await self._stop.wait()
            self._loop.remove_reader(self._socket)
            for task in tasks:
                task.cancel()
        for sock in self._accepted:
            sock.close()
        for writer in self._writers:
            writer.transport.abort()
        await _rounds(3)  # sockets close a round later

    async def _connection(self, sock: socket.socket) -> None:
        self._accepted.discard(sock)
        reader, writer = await asyncio.open_connection(sock=sock)
        self._writers.add(writer)
        self.connections += 1
        try:
            early: bytes | None = b""
            while early is not None and (request := await _read_request(early, reader, writer)) is not None:
                with self._moved:
                    self.requests.append(request)
                    self._moved.notify_all()
                early = await self._reply(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
                self._writers.discard(writer)

    async def _reply(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """What came of the next request meanwhile; None where the connection is over."""
        reply = self._reply_to(request)
        async with asyncio.TaskGroup() as group:
            send = group.create_task(_send(reply, writer))
            heard = group.create_task(_hear(reader))
            await asyncio.wait({send, heard}, return_when=asyncio.FIRST_COMPLETED)
            if not send.done() and heard.result():
                await send  # more than silence: the next request is early
            send.cancel()
            heard.cancel()
        if send.cancelled() or not send.result():
            request.hung_up.set()
            return None
        request.answered.set()
        if reply.end != "end":
            return None
        return b"" if heard.cancelled() else heard.result() or None

    def _reply_to(self, request: Request) -> Reply:
        if (own := self.answer(request)) is not None:
            return own
        if not self.is_chat(request):
            return self.aside(request)
        reply = self._script.popleft() if self._script else self.default
        return reply if self.streams(request) or reply.status != 200 else self.unstreamed(reply)

    def streams(self, request: Request) -> bool:
        """Whether a stream is asked for."""
        return isinstance(request.body, dict) and bool(request.body.get("stream"))


async def _rounds(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def _read_request(early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    first = early or await reader.read(1)
    if first == b"\x16":  # it tries to speak TLS
        await reader.read(4096)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        return None
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, json.loads(body) if body else None)


async def _hear(reader: asyncio.StreamReader) -> bytes:
    """The first byte of what the client says next; empty once it has left."""
    try:
        return await reader.read(1)
    except ConnectionError:
        return b""


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> bool:
    """Whether the client stayed for all of it."""
    try:
        if reply.status:
            await _send_parts(reply, writer)
        await _leave(reply.end, writer)
    except ConnectionError:
        return False
    return True


async def _send_parts(reply: Reply, writer: asyncio.StreamWriter) -> None:
    head = f"HTTP/1.1 {reply.status} Status\r\ntransfer-encoding: chunked\r\nx-request-id: req_upstream\r\n"
    writer.write((head + "".join(f"{name}: {value}\r\n" for name, value in reply.headers) + "\r\n").encode())
    for frame in reply.frames:
        match frame:
            case bytes():
                writer.write(f"{len(frame):x}\r\n".encode() + frame + b"\r\n")
            case Gate():
                await writer.drain()
                await frame.passing()
            case _:
                await writer.drain()
                await asyncio.sleep(frame)


async def _leave(end: End, writer: asyncio.StreamWriter) -> None:
    if end == "end":
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    if end == "hang":
        await asyncio.Event().wait()
    if end == "reset":
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()


def wait_until(condition: Callable[[], bool], within_s: float = 30) -> None:
    """Return once `condition` holds; fail after `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


Start = Callable[[Callable[[], Upstream]], Upstream]


@pytest.fixture
def start_upstream() -> Iterator[Start]:
    """Starts a provider of the class that it is given; each ends with the test."""
    running: list[Upstream] = []

    def start(kind: Callable[[], Upstream]) -> Upstream:
        running.append(kind())
        return running[-1]

    yield start
    for upstream in running:
        upstream.close()
