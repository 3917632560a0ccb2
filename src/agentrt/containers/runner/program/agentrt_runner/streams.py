"""The standard streams of an interpreter, which outlive a job."""

import contextlib
import io
import os


def open_input():
    return io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8", "replace")


def open_output(fd):
    """Lines are written when they end, so that they can be watched."""
    errors = "strict" if fd == 1 else "backslashreplace"
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(fd, "wb", closefd=False)), "utf-8", errors, line_buffering=True)


def is_intact(file):
    try:
        return not file.closed
    except (ValueError, AttributeError):
        return False


def drop(file):
    """Close without writing: what is left over must not turn up in the output of another job."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        file.buffer.raw.close()


def connect(fds):
    """Make the pipes, and the input if there is one, the descriptors 1, 2 and 0."""
    source = fds[2] if len(fds) > 2 else os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number, fd in enumerate((source, fds[0], fds[1])):
        os.dup2(fd, number)
    for fd in {source, *fds}:
        if fd > 2:
            os.close(fd)


def disconnect():
    """Let go of a job's pipes, so that they come to their end."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2):
        os.dup2(null, number)
    if null > 2:
        os.close(null)
