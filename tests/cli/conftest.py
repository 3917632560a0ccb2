"""Commands are run as a person runs them: as processes, against a real HTTP server that answers from a script."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

HANG = b"(and then nothing)"

WHEN = "2026-01-02T03:04:05.000006Z"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


class Scripted:
    """A server whose answers a test writes: `answers["GET /runs"]`, and `streams`, one list of pieces per connection to the
    events of a run. `asked` is what came: method, path with query, body, and the id to resume from."""

    run = "run_0199aaaaaaaa70008000000000000001"
    session = "sess_0199aaaaaaaa70008000000000000002"
    hang = HANG

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {"GET /health": (200, {"status": "healthy", "service": "agentrt"})}
        self.streams: list[list[bytes]] = []
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.url = ""
        self.stopping = asyncio.Event()

    def event(self, kind: str, cursor: str = "", **fields: Any) -> bytes:
        """An event as the server writes it, `cursor` its id."""
        data = {"seq": int(cursor.partition(".")[0] or 0), "type": kind, "run_id": self.run, "at": WHEN, **fields}
        head = f"id: {cursor}\n" if cursor else ""
        return f"{head}event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, str(request.rel_url), body, request.headers.get("last-event-id")))
        if request.path.endswith("/events") or request.path == "/v1/chat/completions":
            return await self._stream(request)
        status, answer = self.answers.get(
            f"{request.method} {request.path}", (404, {"title": "Not Found", "detail": "there is nothing here", "status": 404})
        )
        if isinstance(answer, str):
            return web.Response(status=status, text=answer, content_type="text/html")
        return web.json_response(answer, status=status)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if not self.streams:
            return web.Response(status=204)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in self.streams.pop(0):
            if piece == HANG:
                await self.stopping.wait()
            await response.write(piece)
        assert request.transport is not None
        request.transport.close()  # a drop, not an orderly end
        return response


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await server.stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(30)
    yield server
    loop.call_soon_threadsafe(server.stopping.set)
    thread.join(30)
    loop.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without anything that people set, and a home of its own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }


@pytest.fixture
def agentrt(tmp_path: Path, environment: dict[str, str]) -> Command:
    """`agentrt("runs", "list", AGENTRT_URL=…)` in an empty folder."""

    def run(*args: str, stdin: str = "", **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "agentrt", *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=50,
            cwd=tmp_path,
            env={**environment, **environ},
        )

    return run


@pytest.fixture
def started(tmp_path: Path, environment: dict[str, str]) -> "Iterator[Callable[..., subprocess.Popen[str]]]":
    """Like `agentrt`, for a command that does not end by itself; what is still there at the end is killed."""
    children: list[subprocess.Popen[str]] = []

    def start(*args: str, **environ: str) -> "subprocess.Popen[str]":
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-m", "agentrt", *args]
        child = subprocess.Popen(command, text=True, cwd=tmp_path, env={**environment, **environ}, **pipes)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()
