"""The children of process 1: forks them, one ahead of its job, and buries them."""

import contextlib
import mmap
import os
import select
import signal
import socket
import time

from .child import live
from .frames import send
from .processes import open_if_there, strike

CHILD_OOM = b"500"
RETRY_S = 1.0


class Child:
    """A forked child: `job` is what it works on, with the frame that it came in, `cpu` the processor time that it had used
    before that. `mark` is a byte that it shares with us: 1 from the moment at which it has taken its job."""

    def __init__(self, pid, channel, mark):
        self.pid, self.channel, self.mark = pid, channel, mark
        self.job, self.frame, self.tries = None, (b"", ()), 0
        self.cpu = 0.0
        self.kill_at = None
        self.ended = ""
        self.told_to_end = False

    def take(self, job, raw, fds, tries):
        self.job, self.frame, self.tries = job, (raw, fds), tries
        self.cpu, self.told_to_end = self.cpu_s(), False

    def let_go(self):
        """The job is over: its pipes come to their end."""
        for fd in self.frame[1]:
            os.close(fd)
        self.job, self.frame, self.kill_at = None, (b"", ()), None

    def cpu_s(self):
        try:
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return 0.0


class Nursery:
    """`channels` tells a child by the descriptor of its channel; `spare` waits for a job."""

    def __init__(self, poll):
        self._poll = poll
        self._oom = open_if_there("/proc/self/oom_score_adj", os.O_RDWR)
        self._own_oom = b"0" if self._oom is None else os.pread(self._oom, 16, 0).strip()
        self._retry_at = 0.0
        self.children, self.channels = {}, {}
        self.spare = None
        self.bell, ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        poll.register(self.bell, select.POLLIN)
        signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def fork_ahead(self):
        """Have a spare, if processes can be had at all."""
        if self.spare is None and time.monotonic() >= self._retry_at:
            try:
                self.spare = self._fork()
            except OSError:
                self._retry_at = time.monotonic() + RETRY_S

    def hand_over(self, raw, fds):
        """The child that has a job now: the spare, or, where user code did something to that, a new one. OSError."""
        child, self.spare = self.spare, None
        if child is not None:
            strike(child.pid, signal.SIGCONT)  # user code may have stopped it
            try:
                send(child.channel, raw, fds)
                return child
            except (OSError, AttributeError):
                strike(child.pid)
        child = self._fork()
        send(child.channel, raw, fds)
        return child

    def dead(self):
        """Children that have ended, each with exit code and processor time; then None where no process is left at all."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.bell, 4096)
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                yield None
                return
            if pid == 0:
                return
            child = self.children.pop(pid, None)
            if child is not None:
                if child is self.spare:
                    self.spare = None
                yield child, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime

    def hang_up(self, child):
        if child.channel is not None:
            self._poll.unregister(child.channel)
            del self.channels[child.channel.fileno()]
            child.channel.close()
            child.channel = None

    def _fork(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mark = mmap.mmap(-1, 1)
        self._set_oom(CHILD_OOM)  # inherited: when memory runs out a child goes first
        try:
            pid = os.fork()
            if pid == 0:
                try:
                    live(theirs.detach(), mark)
                finally:
                    os._exit(70)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            self._set_oom(self._own_oom)
        ours.setblocking(False)
        child = self.children[pid] = Child(pid, ours, mark)
        self.channels[ours.fileno()] = child
        self._poll.register(ours, select.POLLIN)
        return child

    def _set_oom(self, value):
        if self._oom is not None:
            try:
                os.pwrite(self._oom, value, 0)
            except OSError:
                self._oom = None
