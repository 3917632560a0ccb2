"""Starts a command so that neither it nor anything it starts outlives the process that asked, even one killed with SIGKILL.

Used in two ways: imported, for `supervised()`; and run as a small program (`python -I -S supervise.py PARENT -- CMD…`), which
is why it needs the standard library only. The program starts CMD in its own process group, passes signals on, ends with CMD's
exit code, and takes the whole tree with it when CMD ends, when its parent dies, or when it is told to stop.

On Linux the kernel reports the parent's death (PR_SET_PDEATHSIG), and hands orphaned grandchildren to the supervisor
(PR_SET_CHILD_SUBREAPER), also those that left the process group. Elsewhere the parent is looked for once a second, and what
leaves the group escapes.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

_ON_LINUX = sys.platform == "linux"
_PDEATHSIG, _SUBREAPER = 1, 36
_GRACE_S = 1.0
_STOP = {signal.SIGTERM, signal.SIGINT}
_CHECK_PARENT: set[signal.Signals] = {signal.SIGALRM, signal.SIGHUP} if sys.platform != "win32" else set()


def supervised(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` under a supervisor that watches over this process.

    On Windows the command itself: there its starter puts it into a job object, which does the same.
    """
    if sys.platform == "win32":
        return list(command)
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), "--", *command]


def _prctl(option: int, value: int) -> None:
    if not _ON_LINUX:
        return
    import ctypes

    try:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        return  # a libc without it: the once-a-second look at the parent remains


def _start(command: Sequence[str]) -> int:
    """Fork and become `command`, in a process group of its own; the pid."""
    me = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        _prctl(_PDEATHSIG, signal.SIGKILL)  # should the supervisor itself be killed
        if os.getppid() != me:
            os._exit(1)
        for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored_by_python, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(command[0], list(command))
    except FileNotFoundError:
        print(f"the command {command[0]!r} does not exist", file=sys.stderr, flush=True)
        os._exit(127)
    except OSError as exc:
        print(f"the command {command[0]!r} cannot be started: {exc.strerror}", file=sys.stderr, flush=True)
        os._exit(126)


def _parent_of(pid: str) -> int:
    """The parent's pid as /proc tells it; 0 where the process is gone or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state, parent = stat.read().rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return 0
    return 0 if state in b"ZX" else int(parent)


def _descendants() -> list[int]:
    """Everything below this process that still runs. Orphans are ours too: this process is their reaper."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _parent_of(entry)):
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    front = [os.getpid()]
    while front:
        front = [child for pid in front for child in children.get(pid, ())]
        found += front
    return found


def _signal_tree(group: int, number: int) -> bool:
    """Send a signal to all that is left of the tree; whether anything was."""
    if not _ON_LINUX:
        return _send(os.killpg, group, number)
    reached = [_send(os.kill, pid, number) for pid in _descendants()]
    return any(reached)


def _send(how: Callable[[int, int], None], target: int, number: int) -> bool:
    try:
        how(target, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _reap(main: int) -> int | None:
    """Collect what has ended; the exit code of `main` when it is among that."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == main:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def _end_tree(main: int) -> int | None:
    """Ask the tree to end, wait a little, then kill it; the exit code of `main` if it ended here."""
    code = None
    deadline = time.monotonic() + _GRACE_S
    left = _signal_tree(main, signal.SIGTERM)
    while left:
        time.sleep(0.01)
        ended = _reap(main)
        code = code if ended is None else ended
        left = _signal_tree(main, 0 if time.monotonic() < deadline else signal.SIGKILL)
        if time.monotonic() > deadline + _GRACE_S:
            break
    ended = _reap(main)
    return code if ended is None else ended


def _watch(main: int, parent: int, signals: set[signal.Signals]) -> int:
    """Until the command ends, we are told to stop, or the parent is gone; the exit code."""
    while True:
        if (code := _reap(main)) is not None:
            _end_tree(main)
            return code
        if os.getppid() != parent:
            _end_tree(main)
            return 1
        received = signal.sigwait(signals)
        if received in _STOP:
            code = _end_tree(main)
            return 128 + received if code is None else code
        if received not in {*_CHECK_PARENT, signal.SIGCHLD}:
            _send(os.killpg, main, received)


def main(arguments: Sequence[str]) -> int:
    """`PARENT -- CMD…`: run CMD for as long as it or the process PARENT lives."""
    parent, separator, *command = arguments
    if separator != "--" or not command:
        print("usage: supervise.py PARENT -- COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2
    signals = {*_STOP, *_CHECK_PARENT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    _prctl(_SUBREAPER, 1)
    _prctl(_PDEATHSIG, signal.SIGHUP)
    # The kernel also reports the death of a mere thread of the parent, and says nothing to one that came too late;
    # the look at the parent after every signal, and once a second, covers both.
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    pid = _start(command)
    _let_go_of_the_pipes()
    return _watch(pid, int(parent), signals)


def _let_go_of_the_pipes() -> None:
    """Leave standard input and output to the command alone, so that its closing of them is seen at the other end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
