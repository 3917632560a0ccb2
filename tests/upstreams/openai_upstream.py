"""A provider for tests: real HTTP on a loopback port, faithful to OpenAI's wire, and scriptable in its faults.

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


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A `chat.completion.chunk` with all the fields that OpenAI sends."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": choices,
        "usage": None,
    } | more


def usage(prompt: int = 11, completion: int = 7, cached: int = 3, reasoning: int = 2) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


DONE = event(b"[DONE]")


def streams(*deltas: dict[str, Any], finish: str | None = "stop", pause: float = 0.0, end: End = "end") -> Reply:
    """A whole stream of these deltas, with usage and [DONE]; with another `end`, or `finish` None, it stops after them."""
    frames: list[bytes | float | Gate] = [event(chunk({"role": "assistant", "content": "", "refusal": None}))]
    for delta in deltas:
        if pause:
            frames.append(pause)
        frames.append(event(chunk(delta)))
    if finish is not None and end == "end":
        frames += [event(chunk({}, finish)), event(chunk(usage=usage())), DONE]
    return Reply(frames, end=end)


def says(text: str, *, size: int = 4, pause: float = 0.0, end: End = "end") -> Reply:
    """A stream that says `text` in pieces of `size` characters, `pause` seconds apart."""
    pieces = [{"content": text[i : i + size]} for i in range(0, len(text), size)]
    return streams(*pieces, pause=pause, end=end)


def calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """A stream that calls these tools, its arguments in two pieces each."""
    deltas = []
    for index, (name, arguments) in enumerate(wanted):
        text = json.dumps(arguments)
        head = {"id": f"call_upstream{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [{"index": index} | head]})
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    return streams(*deltas, finish="tool_calls")


def refuses(status: int, message: str = "no", code: str | None = None, *, retry_after: str | None = None) -> Reply:
    """An error of the API, with OpenAI's error body."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    headers = [("content-type", "application/json")] + ([("retry-after", retry_after)] if retry_after else [])
    return Reply([json.dumps(body).encode()], status, tuple(headers))


def page(status: int = 200) -> Reply:
    """A web page, as gateways and mistyped addresses answer."""
    return Reply([b"<!DOCTYPE html><html><body>Welcome</body></html>"], status, (("content-type", "text/html"),))


class OpenAIUpstream:
    """Answers chat completions with the replies of its script, in order, and with `default` once they are used up."""

    def __init__(self, default: Reply | None = None) -> None:
        self.default = default or says("Hello from upstream.")
        self.answer: Callable[[Request], Reply | None] = lambda request: None  # asked first; None: as scripted
        self.models = ["gpt-4o-mini", "local-model"]
        self.requests: list[Request] = []
        self.connections = 0
        self._script: deque[Reply] = deque()
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
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order."""
        self._script.extend(replies)

    def reset(self) -> None:
        """Forget what was asked and what is scripted."""
        self.requests.clear()
        self._script.clear()

    @property
    def chats(self) -> list[Request]:
        """The chat completions that were asked for."""
        return [request for request in self.requests if request.path.endswith("/chat/completions")]

    def wait_for_chat(self, number: int = 1, within_s: float = 10) -> Request:
        """The request number `number` (from 1), waiting until it is there."""
        with self._moved:
            assert self._moved.wait_for(lambda: len(self.chats) >= number, within_s), "the upstream was not asked"
        return self.chats[number - 1]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()
        self._socket.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, sock=self._socket)
        await self._stop.wait()
        server.close()
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

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
        if request.path.endswith("/models"):
            listed = {
                "object": "list",
                "data": [{"id": name, "object": "model", "created": 1, "owned_by": "us"} for name in self.models],
            }
            return Reply([json.dumps(listed).encode()], headers=(("content-type", "application/json"),))
        reply = self._script.popleft() if self._script else self.default
        streamed = isinstance(request.body, dict) and request.body.get("stream")
        return reply if streamed or reply.status != 200 else _joined(reply)


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


def _joined(stream: Reply) -> Reply:
    """What OpenAI answers to the same request without `stream`."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    finish, counted = "stop", usage()
    for frame in stream.frames:
        if not isinstance(frame, bytes) or frame == DONE:
            continue
        for choice in json.loads(frame[6:])["choices"]:
            finish = choice["finish_reason"] or finish
            _join(message, choice["delta"])
    body = chunk() | {
        "object": "chat.completion",
        "usage": counted,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    return Reply([json.dumps(body).encode()], headers=(("content-type", "application/json"),))


def _join(message: dict[str, Any], delta: dict[str, Any]) -> None:
    if delta.get("content"):
        message["content"] = (message["content"] or "") + delta["content"]
    for call in delta.get("tool_calls") or ():
        known = message.setdefault("tool_calls", [])
        if call["index"] == len(known):
            known.append({"id": call["id"], "type": "function", "function": dict(call["function"])})
        else:
            known[call["index"]]["function"]["arguments"] += call["function"]["arguments"]


def wait_until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Return once `condition` holds; fail after `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def openai_upstream() -> Iterator[Callable[..., OpenAIUpstream]]:
    """Starts providers; each ends with the test."""
    running: list[OpenAIUpstream] = []

    def start(default: Reply | None = None) -> OpenAIUpstream:
        running.append(OpenAIUpstream(default))
        return running[-1]

    yield start
    for upstream in running:
        upstream.close()
