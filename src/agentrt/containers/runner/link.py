"""The host's end of a runner."""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Literal

import msgspec
import structlog

from ..errors import SandboxGone
from .execution import KILLED, Execution
from .job import Job, Outcome, Taker
from .wire import Reply, Signal, decode, encode_job, encode_signal, pack_job, receive, send

ANSWER_S = 5.0
# what a shell says of a job that ran out of time
TIMED_OUT = 124
# more than a millisecond's work
LARGE_CHARS = 500_000
FRAMES_A_TURN = 64
log = structlog.get_logger(__name__)


class RunnerLink:
    """Runs jobs in one box. Several at once, but those of the kernel one after another.

    Belongs to the loop that made it. `lost` is set when the runner went away, which ends everything in the box.
    """

    def __init__(self, control: socket.socket, missing: Sequence[str] = ()) -> None:
        self._loop = asyncio.get_running_loop()
        self._control = control
        self._number = 0
        self._running: dict[int, Execution] = {}
        self._answers: dict[int, asyncio.Future[tuple[Reply, list[int]]]] = {}
        self._outbox: deque[tuple[bytes, list[int]]] = deque()
        self._kernel = asyncio.Lock()
        self.lost = asyncio.Event()
        self.missing = tuple(missing)
        self._loop.add_reader(control.fileno(), self._hear)

    async def run(self, job: Job, taker: Taker) -> Outcome:
        """Run a job; output goes to `taker` while it flows. A cancel ends everything that it started within a second, and then
        goes on. Raises only what `taker` raises: all else that can happen to code is an outcome."""
        if job.mode != "kernel":
            return await self._run(job, taker, job.wall_s)
        until = self._loop.time() + job.wall_s
        if self._kernel.locked():
            try:
                async with asyncio.timeout_at(until):
                    await self._kernel.acquire()
            except TimeoutError:
                return Outcome(exit_code=TIMED_OUT, ended="wall", duration_ms=job.wall_s * 1000)
        else:
            await self._kernel.acquire()
        try:
            return await self._run(job, taker, until - self._loop.time())
        finally:
            self._kernel.release()

    async def dial(self, port: int) -> socket.socket:
        """A TCP connection to 127.0.0.1:`port` inside the box. ConnectionRefusedError where nothing listens; SandboxGone."""
        return await self._socket("dial", port, ConnectionRefusedError)

    async def listen(self, port: int) -> socket.socket:
        """A socket that listens on 127.0.0.1:`port` inside the box, for the host to accept on. OSError where something else
        listens there already; SandboxGone."""
        return await self._socket("listen", port, OSError)

    async def ping(self) -> None:
        """Return when the runner answers. TimeoutError, SandboxGone."""
        await self._ask(Signal(self._next(), "ping"))

    async def kill_all(self) -> None:
        """Kill every process of the box but its runner; jobs in flight come to their outcome. TimeoutError, SandboxGone."""
        await self._ask(Signal(self._next(), "kill_all"))

    def close(self) -> None:
        """Hang up, which ends the box. What still runs has the outcome `box`."""
        if self.lost.is_set():
            return
        self.lost.set()
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_writer(self._control.fileno())
        self._control.close()
        for _, fds in self._outbox:
            _close(fds)
        self._outbox.clear()
        for execution in list(self._running.values()):
            execution.lost()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(SandboxGone("The sandbox ended."))

    async def _run(self, job: Job, taker: Taker, wall_s: float) -> Outcome:
        number = self._next()
        if self.lost.is_set():
            return Outcome(exit_code=KILLED, ended="box", state_lost=True)
        large = len(job.code) > LARGE_CHARS
        raw = await asyncio.to_thread(encode_job, number, job) if large else encode_job(number, job)
        execution = Execution(job, taker, lambda: self._tell(Signal(number, "end")), self._give_up)
        self._running[number] = execution
        try:
            frame, beside = pack_job(number, job, raw)
            self._send(frame, [*execution.pipes.give_writers(), *beside])
            execution.limit(wall_s)
            await execution.wait()
            return execution.outcome()
        finally:
            del self._running[number]
            execution.close()

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _ask(self, signal: Signal) -> tuple[Reply, list[int]]:
        if self.lost.is_set():
            raise SandboxGone("The sandbox ended.")
        answer = self._answers[signal.id] = self._loop.create_future()
        try:
            self._tell(signal)
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except (TimeoutError, asyncio.CancelledError):
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                _close(answer.result()[1])  # it came in the very moment that nobody waited any more
            raise
        finally:
            del self._answers[signal.id]

    async def _socket(self, op: Literal["dial", "listen"], port: int, refusal: type[OSError]) -> socket.socket:
        reply, fds = await self._ask(Signal(self._next(), op, port))
        if reply.failed or not fds:
            raise refusal(reply.failed or "no socket came")
        made = socket.socket(fileno=fds[0])
        made.setblocking(False)
        return made

    def _tell(self, signal: Signal) -> None:
        self._send(encode_signal(signal), [])

    def _send(self, raw: bytes, fds: list[int]) -> None:
        """Send now, or, where the socket is full, as soon as it is not. The descriptors are closed here either way."""
        if self.lost.is_set():
            _close(fds)
            return
        if not self._outbox:
            try:
                send(self._control, raw, fds)
            except BlockingIOError:
                self._loop.add_writer(self._control.fileno(), self._flush)
            except OSError:
                _close(fds)
                self.close()
                return
            else:
                _close(fds)
                return
        self._outbox.append((raw, fds))

    def _flush(self) -> None:
        while self._outbox:
            raw, fds = self._outbox[0]
            try:
                send(self._control, raw, fds)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            self._outbox.popleft()
            _close(fds)
        self._loop.remove_writer(self._control.fileno())

    def _hear(self) -> None:
        for _ in range(FRAMES_A_TURN):  # whoever talks without end does not keep the loop
            if self.lost.is_set():
                return
            try:
                raw, fds = receive(self._control)
            except BlockingIOError:
                return
            except OSError:
                raw, fds = b"", []
            if not raw:
                self.close()
                return
            self._take(raw, fds)

    def _take(self, raw: bytes, fds: list[int]) -> None:
        try:
            reply = decode(raw)
        except msgspec.DecodeError as error:
            log.warning("runner.spoke_nonsense", error=str(error))
            _close(fds)
            self.close()
            return
        answer = self._answers.get(reply.id)
        if answer is not None and not answer.done():
            answer.set_result((reply, fds))
            return
        _close(fds)
        execution = self._running.get(reply.id)
        if execution is not None:
            execution.replied(reply)

    def _give_up(self) -> None:
        """The runner does not end what it was told to end: then the box ends."""
        log.warning("runner.stuck")
        self.close()


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
