"""Process 1: takes orders from the host and gives them to children."""

import gc
import json
import os
import select
import signal
import socket
import time

from .calls import Calls
from .frames import believe, encode, receive, send
from .interpreter import add_folders
from .nursery import Nursery
from .processes import DUMPABLE, SUBREAPER, everything, set_option, strike, wipe
from .traces import Traces

INTERRUPT_S = 0.3
# a spare is forked when there is nothing else to do for so long
SPARE_DELAY_S = 0.02
CPU_LOOK_S = 0.02
# how many children may die of what was done to them before, each before it took the job
TRIES = 3
CPUS = os.cpu_count() or 1
# how bash and others pass on that a process was killed for its processor time
CPU_CODES = (-signal.SIGXCPU, -signal.SIGKILL, 128 + signal.SIGXCPU, 128 + signal.SIGKILL)


class Runner:
    """`jobs` by number, each with the child that does it; `kernel` is the child that keeps variables, idle or not."""

    def __init__(self, control):
        self._control = control
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._nursery = Nursery(self._poll)
        self._calls = Calls(self._poll, self._reply)
        self._traces = Traces()
        self._jobs = {}
        self._kernel = None
        self._state_lost = False
        self._killing = []

    def serve(self):
        while True:
            events = self._poll.poll(self._patience())
            for fd, _ in events:
                self._attend(fd)
            self._tick()
            if self._nursery.spare is None and not self._killing:
                if not self._jobs:
                    self._traces.forking(self._nursery.fork_ahead)
                elif not events:
                    self._nursery.fork_ahead()

    def _attend(self, fd):
        if fd == self._control.fileno():
            self._obey()
        elif fd == self._nursery.bell:
            self._bury()
        elif fd in self._nursery.channels:
            self._listen(self._nursery.channels[fd])
        elif fd in self._calls:
            self._calls.ready(fd)

    def _patience(self):
        """Milliseconds until something is due; None: nothing is."""
        now, due = time.monotonic(), self._calls.due()
        kernel = self._kernel
        if kernel is not None and kernel.job is not None:
            left = (kernel.job["cpu_s"] - kernel.cpu_s() + kernel.cpu) / CPUS
            due.append(now + max(CPU_LOOK_S, left) if kernel.kill_at is None else kernel.kill_at)
        if self._nursery.spare is None:
            due.append(now + SPARE_DELAY_S)
        return max(0, int((min(due) - now) * 1000) + 1) if due else None

    def _tick(self):
        now, kernel = time.monotonic(), self._kernel
        if kernel is not None and kernel.job is not None:
            if kernel.kill_at is not None and now >= kernel.kill_at:
                strike(kernel.pid)
            elif kernel.kill_at is None and kernel.cpu_s() - kernel.cpu >= kernel.job["cpu_s"]:
                kernel.ended = "cpu"
                self._end(kernel)
        self._calls.tick(now)

    def _obey(self):
        raw, fds = receive(self._control)
        if not raw:
            wipe(everything)
            os._exit(0)  # the host went away, and the box goes with it
        order = json.loads(raw)
        op, number = order["op"], order["id"]
        if op == "end":
            if number in self._jobs:
                self._end(self._jobs[number])
        elif op == "ping":
            self._reply(number)
        elif op == "dial":
            self._calls.dial(number, order["port"])
        elif op == "listen":
            self._calls.listen(number, order["port"])
        elif op == "kill_all":
            self._killing.append(number)
            wipe(everything)
            self._bury()
        else:
            self._start(order, raw, fds)
            return
        for fd in fds:
            os.close(fd)

    def _reply(self, number, fds=(), **fields):
        try:
            send(self._control, encode(id=number, **fields), fds)
        except OSError:
            os._exit(0)

    def _start(self, order, raw, fds, tries=1):
        """Give a job to a child, which has its descriptors from now on."""
        if not self._jobs:
            self._traces.begin()
        try:
            child = self._wake_kernel(raw, fds) if order["op"] == "kernel" else None
            child = child or self._nursery.hand_over(raw, fds)
        except OSError as error:
            self._jobs.pop(order["id"], None)
            os.write(fds[1], f"no process could be started for this: {error.strerror}\n".encode())
            for fd in fds:
                os.close(fd)
            self._reply(order["id"], exit=125, lost=self._lost(order))
            return
        child.take(order, raw, fds, tries)
        self._jobs[order["id"]] = child
        if order["op"] == "kernel":
            self._kernel = child

    def _wake_kernel(self, raw, fds):
        """The kernel, with a job; None where there is none that could do one."""
        kernel = self._kernel
        if kernel is None:
            return None
        kernel.mark[0] = 0
        strike(kernel.pid, signal.SIGCONT)
        try:
            send(kernel.channel, raw, fds)
        except (OSError, AttributeError):  # it is gone, or user code closed its channel
            strike(kernel.pid)
            self._kernel, self._state_lost = None, True
            return None
        return kernel

    def _end(self, child):
        """Cut a job short. A kernel is asked first, so that it can keep its variables."""
        child.told_to_end = True
        if child is not self._kernel:
            self._traces.wipe_tree(child.pid, self._spared() - {child.pid}, self._resting())
        elif child.kill_at is None:
            child.kill_at = time.monotonic() + INTERRUPT_S
            for number in (signal.SIGINT, signal.SIGCONT):
                strike(-child.pid, number)

    def _listen(self, child):
        """A child says how its job ended, or closed its end. What it says is told by user code."""
        try:
            raw, fds = receive(child.channel)
        except BlockingIOError:
            return
        except OSError:
            raw, fds = b"", []
        for fd in fds:
            os.close(fd)
        told = believe(raw, child.job) if raw else None
        if told is None:
            self._nursery.hang_up(child)
            if raw:
                strike(child.pid)  # nothing more of it is heard; its job ends with it
        else:
            self._finish(child, *told)

    def _bury(self):
        for death in self._nursery.dead():
            if death is None:
                for number in self._killing:
                    self._reply(number)
                self._killing.clear()
                return
            child, exit_code, cpu_s = death
            if child.channel is not None:
                self._listen(child)  # for what it said last
            self._nursery.hang_up(child)
            if child is self._kernel:
                self._kernel, self._state_lost = None, True
            elif child.job is not None and exit_code in CPU_CODES and cpu_s >= 0.9 * child.job["cpu_s"]:
                child.ended = "cpu"
            if child.job is None:
                continue
            if child.mark[0] or child.told_to_end or self._killing or child.tries == TRIES:
                self._finish(child, exit_code, "")
            else:  # user code of a job before had killed it: this one has not begun
                raw, fds = child.frame
                self._start(child.job, raw, fds, child.tries + 1)

    def _finish(self, child, exit_code, value):
        job, (ended, child.ended) = child.job, (child.ended, "")
        child.let_go()
        del self._jobs[job["id"]]
        self._clean(child)
        if child is not self._kernel and child.pid in self._nursery.children:
            strike(child.pid)  # it is on its way out, and must be
        self._reply(job["id"], exit=exit_code, value=value, lost=self._lost(job), ended=ended)

    def _clean(self, child):
        """Nothing that a job started outlives it: at once where no other job runs, else as far as can be told whose it is."""
        if child is self._kernel:
            strike(child.pid, signal.SIGSTOP)  # its threads too
        if self._jobs:
            self._traces.wipe_tree(child.pid, self._spared(), self._resting())
        else:
            self._traces.wipe_all(self._spared(), self._resting())

    def _spared(self):
        return {child.pid for child in (self._nursery.spare, self._kernel, *self._jobs.values()) if child is not None}

    def _resting(self):
        """The kernel, where it has no job: its threads have none either."""
        return {self._kernel.pid} if self._kernel is not None and self._kernel.job is None else set()

    def _lost(self, job):
        """Whether variables have gone since the last kernel job; said once."""
        if job["op"] != "kernel":
            return False
        lost, self._state_lost = self._state_lost, False
        return lost


def preload(names):
    """Import what jobs will want, so that it is shared. What could not be imported."""
    missing = []
    for name in filter(None, names.split(",")):
        try:
            __import__(name)
        except Exception:
            missing.append(name)
    gc.collect()
    gc.freeze()
    return missing


def main(path):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 is not reached by signals that it does not handle
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("MPLCONFIGDIR", "/tmp/.matplotlib")
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "1")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of what is loaded here: threads of a library do not live through a fork
    gc.disable()
    add_folders(os.environ.get("PYTHONPATH", ""))
    missing = preload(os.environ.get("AGENTRT_PRELOAD", ""))
    os.environ["OPENBLAS_NUM_THREADS"] = threads
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(path)
    runner = Runner(control)
    set_option(DUMPABLE, 0)
    set_option(SUBREAPER, 1)
    send(control, encode(id=0, missing=missing))
    runner.serve()
