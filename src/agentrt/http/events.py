"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import asyncio
import time
from collections.abc import AsyncIterator

from litestar.types import Message, Receive, Scope, Send

HEARTBEAT_S = 15.0
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
_HEAD: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def frame(event: str, data: bytes, id_: str = "") -> bytes:
    """One event; `data` is JSON without line breaks."""
    head = f"event: {event}\n" + (f"id: {id_}\n" if id_ else "")
    return head.encode() + b"data: " + one_line(data) + b"\n\n"


def one_line(data: bytes) -> bytes:
    """JSON in which every sign that some line reader takes for the end of a line is escaped."""
    for sign, escape in _LINE_ENDS:
        if sign in data:
            data = data.replace(sign, escape)
    return data


class EventStream:
    """An ASGI application that sends frames as they come, a comment in every 15 s of silence, and stops when the reader
    leaves. `headers` join the usual ones."""

    def __init__(self, frames: AsyncIterator[bytes], headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self._frames, self._headers = frames, headers or []
        self._sending = asyncio.Lock()
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 200, "headers": [*_HEAD, *self._headers]}
        await send(start)
        await self._send(send, b"retry: 2000\n\n")
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write(send), name="write events")
            aside = [
                group.create_task(self._beat(send), name="heartbeat"),
                group.create_task(_until_gone(receive, writer), name="watch for the reader's leaving"),
            ]
            writer.add_done_callback(lambda _: [task.cancel() for task in aside])

    async def _write(self, send: Send) -> None:
        async for frames in self._frames:
            await self._send(send, frames)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, send: Send) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + HEARTBEAT_S - time.monotonic()))
            if time.monotonic() - self._sent_at >= HEARTBEAT_S:
                await self._send(send, b": ping\n\n")

    async def _send(self, send: Send, body: bytes) -> None:
        async with self._sending:
            self._sent_at = time.monotonic()
            await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive, writer: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    writer.cancel()
