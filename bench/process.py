"""A process under measurement: started on its core, waited for, weighed by its CPU time and memory."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = {CORES[-1]}
# The load and the fake model share the first core, so that what is measured has the other for itself.
OTHER_CORE = {CORES[0]}
START_LIMIT_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def popen(command: Sequence[str], cores: set[int], **options: object) -> subprocess.Popen[bytes]:
    """Start `command` on `cores`; as root at a high priority, so that the rest of the machine disturbs it less."""
    os.sched_setaffinity(0, cores)
    try:
        process = subprocess.Popen(command, start_new_session=True, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]
    finally:
        os.sched_setaffinity(0, CORES)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, -15)
        # priorities count among sessions only through the session's own group
        Path(f"/proc/{process.pid}/autogroup").write_text("-15")
    return process


class Server:
    """A server on the core of its own. A context manager: healthy inside, stopped after."""

    def __init__(
        self, command: Sequence[str], port: int, *, env: Mapping[str, str], cwd: Path, cores: set[int] = SERVER_CORE
    ) -> None:
        self.command = command
        self.port = port
        self.env = dict(env)
        self.cwd = cwd
        self.cores = cores
        self.healthy_s = 0.0

    def __enter__(self) -> Self:
        began = time.monotonic()
        with (self.cwd / "log").open("ab") as log:
            self._process = popen(
                self.command, self.cores, env=self.env, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > began + START_LIMIT_S:
                self._stop()
                raise RuntimeError(f"{self.command[0]} did not become healthy:\n{(self.cwd / 'log').read_text()[-2000:]}")
            time.sleep(0.005)
        self.healthy_s = time.monotonic() - began
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop()

    def _healthy(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
            return answer.status == 200
        return False

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def cpu_s(self) -> float:
        """CPU seconds of the process so far, threads that ended included, its children not."""
        # the clock id of another process's CPU time, as <linux/posix-timers.h> composes it
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def rss_mib(self) -> float:
        """Resident memory of the process, its children not counted."""
        for line in Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no resident size in smaps_rollup")
