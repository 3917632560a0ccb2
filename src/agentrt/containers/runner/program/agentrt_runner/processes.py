"""The processes of the box."""

import contextlib
import ctypes
import os
import signal

ROUNDS = 2
CROWD = 16
DUMPABLE, SUBREAPER = 4, 36
libc = ctypes.CDLL(None, use_errno=True)


def set_option(option, value):
    libc.prctl(option, value, 0, 0, 0)


def strike(pid, number=signal.SIGKILL):
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def descendants(root):
    """Everything below `root`, and everything in the session that it leads."""
    below, found = {}, set()
    for pid in _numbers():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(pid)
        if int(fields[3]) == root:
            found.add(pid)
    ahead = [root, *found]
    while ahead:
        fresh = [pid for pid in below.get(ahead.pop(), ()) if pid not in found]
        found.update(fresh)
        ahead += fresh
    return found - {root}


def everything():
    """Everything in the box but this process."""
    # outside a box, in a test, there are others that are not ours
    return _numbers() - {1} if os.getpid() == 1 else descendants(os.getpid())


def wipe(find, spared=frozenset(), resting=frozenset()):
    """Kill what `find` finds until nothing new turns up; those in `spared` live. Those in `resting` are stopped and stay so."""
    in_box = os.getpid() == 1
    crowded = in_box and len(_numbers()) > CROWD
    if not crowded and (_hunt(find, spared) or not in_box):
        return
    # they multiply faster than they are found, or leave us no turn: kill(-1) reaches all of them at one moment
    strike(-1, signal.SIGSTOP)
    _hunt(find, spared)
    for pid in everything() - resting:
        strike(pid, signal.SIGCONT)


def _hunt(find, spared):
    """Whether nothing new turned up in the end."""
    seen = set()
    for _ in range(ROUNDS):
        fresh = find() - spared - seen
        if not fresh:
            return True
        for pid in fresh:
            strike(pid)
        seen |= fresh
    return False


def open_if_there(path, flags):
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return None


def _numbers():
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}
