"""What is written down of boxes that no engine remembers for us, and how a process is known again."""

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

_ID = re.compile(r"[a-z0-9]{8,32}")
_FILE, _GATE = "box.json", "gate"
_NOTED_S = 60.0


class BoxRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A box. Process 1 of it is `pid` of the host, 0 before there is one; `started` (clock ticks since the boot) and `boot`
    tell it from a later process with the same number."""

    id: str
    labels: Mapping[str, str] = {}
    pid: int = 0
    started: int = 0
    boot: str = ""


class Records:
    """A folder for each box. Blocking."""

    def __init__(self, folder: Path) -> None:
        self.place = folder
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def folder(self, box_id: str) -> Path:
        return self.place / box_id

    def write(self, box_id: str, labels: Mapping[str, str], pid: int = 0) -> None:
        """Note a box, whole or not at all, and whatever becomes of us."""
        record = BoxRecord(id=box_id, labels=labels, pid=pid, started=_started(pid) if pid else 0, boot=self._boot)
        folder = self.folder(box_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = folder / (_FILE + ".new")
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(folder / _FILE)

    def read(self, box_id: str) -> BoxRecord | None:
        if not _ID.fullmatch(box_id):
            return None
        try:
            return msgspec.json.decode((self.folder(box_id) / _FILE).read_bytes(), type=BoxRecord)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:  # a machine that lost its power while this was written
            return BoxRecord(id=box_id)

    def gate(self, box_id: str) -> IO[bytes]:
        """What the first process waits at until it is in its groups: where we die before that, it waits there for ever."""
        path = self.folder(box_id) / _GATE
        os.mkfifo(path, 0o600)
        # read and written by the same descriptor, it has no end of file that would open it
        return open(os.open(path, os.O_RDWR | os.O_CLOEXEC), "r+b", 0)

    def end_half_started(self, box_id: str) -> None:
        """End what waits at the gate, which an earlier server left there, and what that has forked meanwhile."""
        gate = str(self.folder(box_id) / _GATE)
        in_vain = 0
        while in_vain < 2:  # whoever was on its way out when looked at may have forked one that was not listed yet
            waiting = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if _holds(pid, gate)]
            in_vain = 0 if waiting else in_vain + 1
            for pid in waiting:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def all(self) -> Iterator[BoxRecord]:
        names = os.listdir(self.place) if self.place.exists() else []
        for name in sorted(names):
            if (record := self.read(name)) is not None:
                yield record
            else:
                self._forget_unnoted(name)

    def _forget_unnoted(self, name: str) -> None:
        """A server that was killed before it had noted the box leaves a folder and nothing else."""
        with suppress(OSError):
            if _ID.fullmatch(name) and time.time() - self.folder(name).stat().st_mtime > _NOTED_S:
                self.forget(name)

    def forget(self, box_id: str) -> None:
        shutil.rmtree(self.folder(box_id), ignore_errors=True)

    def process(self, record: BoxRecord) -> int | None:
        """A descriptor of process 1 (the caller closes it), or None where that process is gone."""
        if not record.pid or record.boot != self._boot:
            return None
        try:
            fd = os.pidfd_open(record.pid)
        except ProcessLookupError:
            return None
        with suppress(ProcessLookupError):
            if _started(record.pid) == record.started:  # asked after the descriptor was had: it cannot be another one by now
                return fd
        os.close(fd)
        return None

    def lives(self, record: BoxRecord) -> bool:
        fd = self.process(record)
        if fd is None:
            return False
        os.close(fd)
        return True


def kill(fd: int) -> None:
    """The process that this descriptor stands for, if it has not ended."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, signal.SIGKILL)


def _holds(pid: str, path: str) -> bool:
    if pid == str(os.getpid()):
        return False
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it ended meanwhile, or is somebody else's
        return False
    return any(_target(f"/proc/{pid}/fd/{fd}") == path for fd in fds)


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _started(pid: int) -> int:
    """ProcessLookupError for one that has ended, a zombie too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError as error:
        raise ProcessLookupError from error
    if fields[0] in "ZX":
        raise ProcessLookupError
    return int(fields[19])
