"""The life of a child: wait, forked ahead, for a job, and be what it asks for."""

import contextlib
import gc
import os
import resource
import signal
import socket
import sys

from .frames import decode_job, encode, receive
from .interpreter import Interpreter, change_environment
from .processes import DUMPABLE, set_option
from .streams import connect, disconnect

CHANNEL = 3
# what the kernel takes as one argument is 128 KiB
ARGUMENT_CHARS = 30_000
MERSENNE_WORDS = 624


def live(channel, mark):
    """Never returns. `channel` is the only descriptor that a child keeps; `mark[0]` says that it has taken its job."""
    os.setsid()
    os.dup2(channel, CHANNEL, inheritable=False)
    os.closerange(CHANNEL + 1, max(4096, os.sysconf("SC_OPEN_MAX")))
    channel = socket.socket(fileno=CHANNEL)
    signal.set_wakeup_fd(-1)
    # also what whoever started the server had ignored, such as nohup
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    me = _grow_up()
    raw, fds = receive(channel)
    if not raw:
        os._exit(0)
    mark[0] = 1
    set_option(DUMPABLE, 1)
    job = decode_job(raw, fds)
    if job["op"] == "kernel":
        _serve_cells(me, channel, mark, job, fds)
    elif job["op"] == "python":
        _run_once(me, channel, job, fds)
    else:
        _become(job, fds)


def _grow_up():
    gc.enable()
    sys.path[0:1] = [""]  # instead of the folder of this program
    os.environ.pop("AGENTRT_PRELOAD", None)
    _draw_afresh()
    me = Interpreter()
    me.warm()
    disconnect()
    decode_job(encode(id=0, sealed=False), [])
    return me


def _draw_afresh():
    """Or every child would draw the same numbers. `seed()` of numpy takes twice as long, and as many pages of its own."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and "numpy.random" in sys.modules:
        key = numpy.frombuffer(os.urandom(4 * MERSENNE_WORDS), "uint32")
        numpy.random.set_state(("MT19937", key, MERSENNE_WORDS))


def _serve_cells(me, channel, mark, job, fds):
    while True:
        exit_code, value = me.run(job, fds)
        me.flush()
        try:
            disconnect()
            channel.send(encode(id=job["id"], exit=exit_code, value=value))
            raw, fds = receive(channel)
        except OSError:
            # user code closed the channel: the job has ended, and so has this interpreter
            os._exit(exit_code)
        if not raw:
            os._exit(0)
        mark[0] = 1
        job = decode_job(raw, fds)


def _run_once(me, channel, job, fds):
    _limit_cpu(job)
    exit_code, value = me.run(job, fds)
    with contextlib.suppress(BaseException):
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        sys.modules["atexit"]._run_exitfuncs() if "atexit" in sys.modules else None
    me.flush()
    with contextlib.suppress(OSError):
        disconnect()
        channel.send(encode(id=job["id"], exit=exit_code, value=value))
    os._exit(exit_code)


def _become(job, fds):
    """Turn into bash or a program."""
    exit_code = 1
    try:
        connect(fds)
        change_environment({}, job["env"])
        os.chdir(job["cwd"])
        _limit_cpu(job)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        argv = _script(job["code"]) if job["op"] == "bash" else job["argv"]
        exit_code = _replace(argv)
    except (OSError, ValueError, IndexError) as error:
        _say(str(error))
    os._exit(exit_code)


def _replace(argv):
    """Never returns but where there is no such program: what a shell exits with then. ValueError, IndexError."""
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        _say(f"{argv[0]}: {error.strerror}")
        return 127 if isinstance(error, FileNotFoundError) else 126


def _say(text):
    os.write(2, f"{text}\n".encode("utf-8", "replace"))


def _script(code):
    if "\0" in code:
        raise ValueError("the script contains a NUL byte")
    if len(code) < ARGUMENT_CHARS:
        return ["bash", "-c", code]
    fd = os.memfd_create("script", 0)
    with open(fd, "wb", closefd=False) as file:
        file.write(code.encode())
    return ["bash", f"/proc/self/fd/{fd}"]


def _limit_cpu(job):
    seconds = max(1, int(-(-job["cpu_s"] // 1)))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or hard > seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
