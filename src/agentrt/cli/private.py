"""A server of one's own for the time of one command, where none answers."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from agentrt.settings import Settings

from .client import Server, Silent, server_url
from .flags import SERVER
from .terminal import note, status

OWN = ("config", "mcp_config", "data_dir", "log__level")  # what only a server of one's own can be told
START_S = 60.0
STOP_S = 15.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def any_server(settings: Settings, said: dict[str, Any]) -> Iterator[Server]:
    """The running server, or a private one with the same settings and data folder, stopped at the end.

    A server that was named (`--url`, `AGENTRT_URL`) must answer: Silent where it does not.
    """
    url, named = server_url(settings, said.get("url"))
    with Server(url) as server:
        if server.health() is not None:
            if idle := [_flag(name) for name in OWN if said.get(name)]:
                note(f"the server at {url} answers, so {', '.join(idle)} has no effect")
            yield server
            return
    if named:
        raise Silent(f"no server answers at {url}: start it, or leave out its address for a private one")
    with _private_server(url, said) as server:
        yield server


@contextmanager
def _private_server(url: str, said: dict[str, Any]) -> Iterator[Server]:
    port = _free_port()
    given = {**{name: said.get(name) for name in SERVER}, "addr": f"127.0.0.1:{port}"}
    arguments = [part for name, value in given.items() if value for part in (_flag(name), str(value))]
    with tempfile.TemporaryFile() as log:
        child = _spawn([*_program(), "serve", *arguments], log)
        try:
            with Server(f"http://127.0.0.1:{port}") as server:
                with status("starting a private server"):
                    _until_healthy(server, child, log)
                note(f"no server answers at {url}: started a private one for this command (`agentrt serve` keeps one running)")
                yield server
        finally:
            _stop(child)


def _flag(name: str) -> str:
    return "--" + name.replace("__", "-").replace("_", "-")


def _program() -> list[str]:
    """The command line that starts this same program, also from a single-file archive."""
    archive = sys.argv[0]
    return [sys.executable, archive] if zipfile.is_zipfile(archive) else [sys.executable, "-m", "agentrt"]


def _spawn(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    # a session of its own: Ctrl-C here cancels an answer and must not stop the server below it
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        # for one command no containers are kept ready: one is started where code is really executed
        env={"AGENTRT_CONTAINERS__POOLS__CODE__MIN": "0", **os.environ},
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _until_healthy(server: Server, child: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while server.health() is None:
        if child.poll() is not None:
            raise Silent(f"a private server could not start: {_last_words(log)} (--url names a server that runs elsewhere)")
        if time.monotonic() > deadline:
            raise Silent(f"a private server was not ready after {START_S:.0f} s: {_last_words(log)}")
        time.sleep(0.05)


def _last_words(log: IO[bytes]) -> str:
    """The sentence a server that failed to start ended with."""
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 4000))
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if line.startswith("Error: ")), lines[-1] if lines else "it said nothing")
    return click.unstyle(said.removeprefix("Error: ").strip())


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
