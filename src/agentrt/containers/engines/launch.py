"""How a box of bubblewrap is started: the arguments, and the steps between its first process and its command."""

import json
import os
import resource
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec
import structlog

from agentrt.kernel import Invalid

from ..errors import EngineUnavailable, ImageMissing
from ..mounts import mount_memory, unmount_all
from ..spec import MIB
from .cgroups import Cgroups
from .engine import BoxSpec
from .hardening import HIDDEN, HOSTNAME, PATH, SHM_BYTES, TMP_INODES, ULIMITS
from .lifeline import Lifeline
from .records import Records, kill
from .seccomp import compiled

_UNWRITABLE = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_QUIET = 'exec "$@" </dev/null >/dev/null 2>&1'
_DROP = ("--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all", "--ambient-caps", "-all")
_PATIENCE_S = 20.0

log = structlog.get_logger()


class Started(msgspec.Struct, frozen=True):
    """A box that runs. `fd` is a descriptor of its process 1; bubblewrap's own process ends when that does."""

    fd: int
    bwrap: "subprocess.Popen[bytes]"


class Launcher:
    """Starts boxes. Blocking; every step has an end, and a box whose start fails leaves nothing behind."""

    def __init__(self, bwrap: str, cgroups: Cgroups, records: Records, roots: Path) -> None:
        self._bwrap = bwrap
        self._cgroups = cgroups
        self._records = records
        self._roots = roots
        self._as_root = os.geteuid() == 0
        self._lifeline: Lifeline | None = None
        self._lock = threading.Lock()

    def start(self, spec: BoxSpec, rootfs: Path) -> Started:
        """A box whose process 1 is its command."""
        folder = self._records.folder(spec.id)
        self._records.write(spec.id, spec.labels)
        try:
            self._cgroups.make(spec.id, spec.limits)
            if self._as_root:
                mount_memory(folder / "tmp", spec.limits.tmp_mb * MIB, TMP_INODES)
            try:
                return self._start(spec, [*self._view(spec, rootfs), *self._command(spec, rootfs)])
            finally:  # bubblewrap holds its own copy by now
                self._unmount(spec.id)
        except BaseException:
            self.clear(spec.id)
            raise

    def close(self) -> None:
        """Start no more; what runs is the caller's to remove."""
        if self._lifeline is not None:
            self._lifeline.close()

    def hold_lifeline(self) -> None:
        """Before anything is started or mounted; may be asked for again."""
        with self._lock:
            if self._lifeline is None and self._as_root:
                self._lifeline = Lifeline(self._records.place, self._roots, self._cgroups)

    def clear(self, box_id: str) -> None:
        """Forget a box whose process 1 has ended."""
        self._unmount(box_id)
        with suppress(TimeoutError):
            self._cgroups.remove(box_id)
        self._records.forget(box_id)

    def _unmount(self, box_id: str) -> None:
        if self._as_root:
            unmount_all(self._records.folder(box_id) / "tmp")

    def _start(self, spec: BoxSpec, args: Sequence[str]) -> Started:
        with ExitStack() as stack:
            info, info_w = _pipe(stack)
            gate = stack.enter_context(self._records.gate(spec.id))
            rules = stack.enter_context(_rules())
            said = stack.enter_context(tempfile.TemporaryFile())
            fds = {"--info-fd": info_w.fileno(), "--block-fd": gate.fileno(), "--seccomp": rules.fileno()}
            command = [self._bwrap, *(word for name, fd in fds.items() for word in (name, str(fd))), *args]
            bwrap = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env={}, pass_fds=tuple(fds.values())
            )
            info_w.close()
            fd = None
            try:
                pid = _first_process(info)
                fd = os.pidfd_open(pid)
                self._cgroups.enter(spec.id, pid)
                _limit(pid)
                self._records.write(spec.id, spec.labels, pid)
                gate.write(b"1")
                self._wait_for_command(pid, bwrap, said)
            except BaseException as error:
                self._give_up(spec.id, fd, bwrap)
                said.seek(0)
                log.warning("box.failed", said=said.read(2000).decode(errors="replace"), error=str(error))
                raise
            return Started(fd, bwrap)

    def _give_up(self, box_id: str, fd: int | None, bwrap: "subprocess.Popen[bytes]") -> None:
        """End what there is of a box by now."""
        if fd is None:
            self._records.end_half_started(box_id)
        else:
            kill(fd)
            os.close(fd)
        bwrap.kill()
        bwrap.wait(_PATIENCE_S)

    def _wait_for_command(self, pid: int, bwrap: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
        """Until what runs is no longer a step on the way."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            if (code := bwrap.poll()) in (126, 127):
                raise Invalid("The image has no such command, or it cannot be executed.", param="command")
            if code is not None and os.fstat(said.fileno()).st_size:
                raise EngineUnavailable("bubblewrap could not start a box; the server's log says why.")
            if code is not None:
                return  # it ran, and has ended
            with suppress(OSError):
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                if argv[0] not in ("", self._bwrap) and argv[2:3] != [_QUIET] and argv[1:2] != [_DROP[0]]:
                    return
            time.sleep(0.001)
        raise EngineUnavailable("bubblewrap did not start a box in time.")

    def _view(self, spec: BoxSpec, rootfs: Path) -> Iterator[str]:
        """What the box sees."""
        yield from ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
        yield from ("--die-with-parent", "--as-pid-1", "--new-session", "--hostname", HOSTNAME, "--clearenv")
        if not self._as_root:
            yield from ("--unshare-user", "--uid", str(spec.uid), "--gid", str(spec.group))
        yield from _root(rootfs, "/", [mount.target for mount in spec.mounts])
        yield from _proc()
        yield from ("--dev", "/dev", "--perms", "1777", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm")
        if self._as_root:
            yield from ("--bind", str(self._records.folder(spec.id) / "tmp"), "/tmp")
        else:
            yield from ("--perms", "1777", "--size", str(spec.limits.tmp_mb * MIB), "--tmpfs", "/tmp")
        for mount in spec.mounts:
            for above in reversed(PurePosixPath(mount.target).parents):
                if not (rootfs / above.relative_to("/")).exists():
                    yield from ("--perms", "0755", "--dir", str(above))
            yield from ("--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.target)
        yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/")
        for name, value in {"PATH": PATH, **spec.env}.items():
            yield from ("--setenv", name, value)

    def _command(self, spec: BoxSpec, rootfs: Path) -> Iterator[str]:
        """Process 1: drops what root has left, then is the command."""
        yield from ("--cap-drop", "ALL")
        if not self._as_root:
            yield from ("--", "/bin/sh", "-c", _QUIET, "sh", *spec.command)
            return
        if not (rootfs / "usr/bin/setpriv").exists():
            raise ImageMissing("The image lacks setpriv (package util-linux); `agentrt image build` makes one that has it.")
        yield from ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP")
        yield from ("--", "/bin/sh", "-c", _QUIET, "sh", "/usr/bin/setpriv", *_DROP)
        yield from ("--reuid", str(spec.uid), "--regid", str(spec.group), "--", *spec.command)


def _root(rootfs: Path, at: str, targets: Iterable[str]) -> Iterator[str]:
    """The image's files, read-only. Where a target of a mount is not among them, the folder around it is laid out anew, so
    that bubblewrap can make the place without touching the image."""
    source = rootfs / at.lstrip("/")
    inner = [target for target in targets if target.startswith(at.rstrip("/") + "/")]
    if all((rootfs / target.lstrip("/")).exists() for target in inner):
        yield from ("--ro-bind", str(source), at)
        return
    if at != "/":
        yield from ("--perms", "0755", "--dir", at)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        place = at.rstrip("/") + "/" + entry.name
        if entry.is_symlink():
            yield from ("--symlink", os.readlink(entry), place)
        elif entry.is_dir():
            yield from _root(rootfs, place, inner)
        else:
            yield from ("--ro-bind", entry.path, place)


def _proc() -> Iterator[str]:
    yield from ("--proc", "/proc")
    for name in _UNWRITABLE:
        if os.path.exists(f"/proc/{name}"):
            yield from ("--ro-bind", f"/proc/{name}", f"/proc/{name}")
    for path in HIDDEN:
        if os.path.isdir(path):
            yield from ("--tmpfs", path, "--remount-ro", path)
        elif os.path.exists(path):
            yield from ("--ro-bind", "/dev/null", path)


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    reader, writer = os.pipe()
    return stack.enter_context(open(reader, "rb", 0)), stack.enter_context(open(writer, "wb", 0))


def _rules() -> IO[bytes]:
    """The filter as a file of its own: bubblewrap reads it to its end."""
    fd = os.memfd_create("seccomp")
    os.write(fd, compiled())
    os.lseek(fd, 0, os.SEEK_SET)
    return os.fdopen(fd, "rb")


def _first_process(info: IO[bytes]) -> int:
    """What bubblewrap says of the process that will be the box's first; EngineUnavailable where it says nothing."""
    said = b""
    while select.select([info], [], [], _PATIENCE_S)[0] and (part := info.read(4096)):
        said += part
        with suppress(ValueError):
            return int(json.loads(said)["child-pid"])
    raise EngineUnavailable("bubblewrap could not start a box; the server's log says why.")


def _limit(pid: int) -> None:
    for name, value in ULIMITS.items():
        which = getattr(resource, f"RLIMIT_{name.upper()}")
        _, most = resource.prlimit(pid, which)  # what other users than root may not exceed
        if os.geteuid() != 0 and most != resource.RLIM_INFINITY:
            value = min(value, most)
        resource.prlimit(pid, which, (value, value))
