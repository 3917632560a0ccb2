"""One process, one server: uvicorn around the opened application, and an orderly way down."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from typing import Any

import structlog
import uvicorn

from agentrt.app import Application, open_application
from agentrt.kernel import AgentrtError, configure_logs
from agentrt.settings import Settings

log = structlog.get_logger()

Announce = Callable[[Application, str], None]


def serve(settings: Settings, announce: Announce | None = None) -> int:
    """Serve until a signal says otherwise; the exit code. `announce` is called with the address once it listens.

    What keeps the server from starting is raised as an AgentrtError, a sentence that says what to do.
    """
    configure_logs(settings.log.level, settings.log.format)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # the terminal was closed: go down as orderly as by SIGTERM
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Announce | None) -> int:
    sock = _bind(settings)
    with sock:
        async with open_application(settings) as app:
            for notice in settings.notices:
                log.warning("server.notice", notice=notice)
            _calm_collector()
            await _Server(_config(app), app, announce).serve(sockets=[sock])
    log.info("server.stopped")
    return 0


def _calm_collector() -> None:
    """What start-up made stays for good; with default thresholds a third of a chat's CPU went into looking at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _config(app: Application) -> uvicorn.Config:
    return uvicorn.Config(
        app.asgi,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        # streams end by themselves when draining; this is for readers that do not read
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=65536,
    )


class _Server(uvicorn.Server):
    """Drains before it stops listening to what is under way; a second signal stops at once."""

    def __init__(self, config: uvicorn.Config, app: Application, announce: Announce | None) -> None:
        super().__init__(config)
        self._app, self._announce = app, announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets, "the address was bound before"
        host, port = sockets[0].getsockname()[:2]
        url = f"http://{_shown(host)}:{port}"
        log.info("server.listening", url=url)
        for module in self._app.modules:
            module.listening()
        if self._announce is not None:
            self._announce(self._app, url)

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self._app.draining:
            self.force_exit = True
        self._app.draining = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("server.draining")
        await self._app.drain()
        await super().shutdown(sockets)
        # uvicorn raises the signal again for its own caller, which would make a clean stop look like a crash
        self._captured_signals.clear()


def _shown(host: str) -> str:
    """The host as a client on this machine would write it."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _bind(settings: Settings) -> socket.socket:
    host, port = settings.host or "0.0.0.0", settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY for this protocol only
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as exc:
        sock.close()
        raise _CannotListen(f"cannot listen on {settings.addr}: {_reason(exc, port)}") from exc
    sock.set_inheritable(False)
    return sock


class _CannotListen(AgentrtError):
    """The address is taken, not this machine's, or not allowed."""

    kind = "unavailable"
    default_code = "cannot_listen"


def _reason(exc: OSError, port: int) -> str:
    if exc.errno == 98:
        other = f"--addr 127.0.0.1:{port + 1}"
        return f"the port is in use; stop what uses it, or choose another: agentrt serve {other}, or make run ARGS='{other}'"
    if exc.errno == 13:
        return "ports below 1024 need more rights; choose a higher one"
    return (exc.strerror or str(exc)).lower()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on every system
        return None
    return uvloop.new_event_loop
