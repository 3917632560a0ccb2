"""Frames: JSON on a socket that keeps messages apart, with descriptors beside it."""

import array
import json
import socket

FRAME_BYTES = 65_536
VALUE_CHARS = 10_000


def receive(channel):
    """One frame and the descriptors beside it; an empty frame at the end, `?` for one that is too long."""
    raw, ancillary, flags, _ = channel.recvmsg(FRAME_BYTES, socket.CMSG_SPACE(16), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % 4])
    return (b"?" if flags & socket.MSG_TRUNC else raw), list(fds)


def send(channel, raw, fds=()):
    channel.sendmsg([raw], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def encode(**fields):
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")


def decode_job(raw, fds):
    """The job of a frame; what was too long for one is in the last file beside it."""
    job = json.loads(raw)
    if job["sealed"]:
        with open(fds.pop(), "rb") as file:
            job = json.loads(file.read())
    return job


def shorten(value):
    return value if len(value) <= VALUE_CHARS else f"{value[:VALUE_CHARS]}… ({len(value)} characters)"


def believe(raw, job):
    """The exit code and value that a child reports of its job, or None for what no child of ours would say."""
    try:
        told = json.loads(raw)
        if job is None or told["id"] != job["id"]:
            return None
        exit_code, value = told["exit"], told["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(exit_code) is not int or not 0 <= exit_code <= 255 or type(value) is not str or len(value) > VALUE_CHARS + 100:
        return None
    return exit_code, value
