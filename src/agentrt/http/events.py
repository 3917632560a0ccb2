"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import asyncio
from collections.abc import AsyncIterator

from litestar.types import Message, Receive, Scope, Send

HEARTBEAT_S = 15.0
_HEAD: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def frame(event: str, data: bytes, id_: str = "") -> bytes:
    """One event; `data` is one line of JSON."""
    head = f"event: {event}\n" + (f"id: {id_}\n" if id_ else "")
    return head.encode() + b"data: " + data + b"\n\n"


class EventStream:
    """An ASGI application that sends frames as they come, a comment in every 15 s of silence, and stops when the reader
    leaves. `headers` join the usual ones."""

    def __init__(self, frames: AsyncIterator[bytes], headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self._frames, self._headers = frames, headers or []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 200, "headers": [*_HEAD, *self._headers]}
        await send(start)
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(send), name="write events")
                group.create_task(_until_gone(receive, writer), name="watch for the reader's leaving")
        except* _Done:
            pass

    async def _write(self, send: Send) -> None:
        waiting: asyncio.Future[bytes] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(self._frames))
                done, _ = await asyncio.wait([waiting], timeout=HEARTBEAT_S)
                if not done:
                    await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})
                    continue
                try:
                    body = waiting.result()
                except StopAsyncIteration:
                    break
                waiting = None
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            if waiting is not None and not waiting.done():
                waiting.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        raise _Done


class _Done(Exception):
    """The stream has ended: the watcher may go."""


async def _until_gone(receive: Receive, writer: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    writer.cancel()
