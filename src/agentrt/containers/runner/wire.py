"""The frames of the control socket."""

import array
import fcntl
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from .job import Job, Mode

FRAME_BYTES = 131_072
# a socket holds a fifth of a megabyte; what is longer goes by a file in memory
INLINE_BYTES = 16_384
MAX_FDS = 4


class Reply(msgspec.Struct, frozen=True):
    """What the runner says of the order `id`; 0 is its hello."""

    id: int
    exit: int = 0
    value: str = ""
    lost: bool = False
    ended: Literal["", "cpu"] = ""
    failed: str = ""
    missing: tuple[str, ...] = ()


class Order(msgspec.Struct, frozen=True):
    """A job as the runner reads it; `sealed`: the rest of it is in the file that comes last beside the frame."""

    id: int
    op: Mode
    cpu_s: float
    sealed: bool = False
    code: str = ""
    argv: tuple[str, ...] = ()
    cwd: str = ""
    env: Mapping[str, str] = {}


class Signal(msgspec.Struct, frozen=True):
    """An order that is not a job."""

    id: int
    op: Literal["end", "ping", "dial", "listen", "kill_all"]
    port: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Reply)


def encode_signal(signal: Signal) -> bytes:
    return _encoder.encode(signal)


def encode_job(number: int, job: Job) -> bytes:
    return _encoder.encode(Order(number, job.mode, job.cpu_s, False, job.code, job.argv, job.cwd, job.env))


def pack_job(number: int, job: Job, raw: bytes) -> tuple[bytes, list[int]]:
    """The frame of an encoded job, and the descriptors that go beside it after the two pipes; they are the caller's to close."""
    fds = [_file(job.stdin)] if job.stdin else []
    if len(raw) <= INLINE_BYTES:
        return raw, fds
    return _encoder.encode(Order(number, job.mode, job.cpu_s, True)), [*fds, _file(raw)]


def decode(raw: bytes) -> Reply:
    """msgspec.DecodeError for what is not a reply."""
    return _decoder.decode(raw)


def receive(control: socket.socket) -> tuple[bytes, list[int]]:
    """One frame and the descriptors beside it; an empty frame at the end. BlockingIOError where there is none yet."""
    raw, ancillary, _, _ = control.recvmsg(FRAME_BYTES, socket.CMSG_SPACE(4 * MAX_FDS), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % 4])
    return raw, list(fds)


def send(control: socket.socket, raw: bytes, fds: Sequence[int] = ()) -> None:
    """BlockingIOError where the socket is full."""
    control.sendmsg([raw], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def _file(data: bytes) -> int:
    """A file in memory that nobody can change, at its beginning."""
    fd = os.memfd_create("agentrt", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.lseek(fd, 0, os.SEEK_SET)
    os.fchmod(fd, 0o444)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd
