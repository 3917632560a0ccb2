"""Boxes by bubblewrap and control groups, where there is no container engine. What an engine would remember lies in files."""

import asyncio
import os
import select
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, ParamSpec, Self, TypeVar

import msgspec
import structlog

from ..errors import EngineUnavailable, ImageMissing, SandboxGone
from .cgroups import Cgroups, find_cgroups, is_inside
from .engine import BoxEnded, BoxSpec, BoxState, EngineStatus, FoundBox
from .launch import Launcher, Started
from .machine import Machine, this_machine
from .records import BoxRecord, Records, kill
from .roots import Roots
from .seccomp import compiled
from .watchers import Watchers

IMAGE_NAME = "agentrt-sandbox"
_PATIENCE_S = 10.0
_KILLED = 128 + signal.SIGKILL

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


class _Parts(msgspec.Struct, frozen=True):
    """What starting a box takes; found when it is first needed."""

    version: str
    cgroups: Cgroups
    launcher: Launcher
    machine: Machine


class _Box(msgspec.Struct):
    """A box that this process started. `fd` is a descriptor of process 1; `bwrap` waits for it."""

    fd: int
    bwrap: "subprocess.Popen[bytes]"
    ending: bool = False


class BubblewrapEngine:
    """Boxes live no longer than the engine is open, and no longer than its process.

    `folder` holds `images/<hash>/rootfs`, a place where each image is mounted, and a folder for each box; one engine at a time
    starts boxes on it.
    """

    name: Literal["docker", "bubblewrap"] = "bubblewrap"

    def __init__(self, folder: Path) -> None:
        self._images = folder / "images"
        self._records = Records(folder / "boxes")
        self._roots = Roots(folder / "roots")
        self._boxes: dict[str, _Box] = {}
        self._starting: set[str] = set()
        self._watchers = Watchers()
        self._parts: _Parts | None = None

    async def __aenter__(self) -> Self:
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="bubblewrap")
        self._finding = asyncio.Lock()
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        try:
            for box_id in list(self._boxes):
                await self.remove(box_id)
        finally:
            self._watchers.close()
            await self._group.__aexit__(None, None, None)
            if self._parts is not None:
                await self._in_thread(self._parts.launcher.close)
                self._parts = None
            await self._in_thread(self._roots.close)
            await asyncio.to_thread(self._threads.shutdown)

    async def probe(self) -> EngineStatus:
        try:
            parts = await self._ready()
        except EngineUnavailable as error:
            return EngineStatus(ok=False, detail=error.message)
        detail = f"bubblewrap {parts.version} with control groups"
        if not parts.cgroups.cpu_limited:
            detail += "; processor time is not delegated and cannot be limited"
        return EngineStatus(ok=True, detail=detail, version=parts.version)

    async def start(self, spec: BoxSpec) -> None:
        parts = await self._ready()
        parts.machine.check(spec.limits)
        rootfs = self._images / spec.image.rpartition(":")[2] / "rootfs"
        if not rootfs.is_dir():
            raise ImageMissing(f"There is no image {spec.image}: make one with `agentrt image build`.")
        self._starting.add(spec.id)
        launching = self._in_thread(self._launch, parts, spec, rootfs)
        try:
            started = await asyncio.shield(launching)
        except asyncio.CancelledError:  # the thread goes on: what it makes is nobody's
            await asyncio.wait([launching])
            if launching.exception() is None:
                self._watch(spec.id, launching.result())
                await self.remove(spec.id)
            raise
        except OSError as error:
            log.warning("box.failed", error=str(error))
            raise EngineUnavailable("bubblewrap could not start a box; the server's log says why.") from error
        finally:
            self._starting.discard(spec.id)
        self._watch(spec.id, started)

    async def remove(self, box_id: str) -> None:
        if box := self._boxes.get(box_id):
            box.ending = True
        parts = await self._ready()
        await self._in_thread(self._end, parts, box_id)
        if box_id in self._boxes:
            await self._settle(box_id)

    async def pause(self, box_id: str) -> None:
        await self._freeze(box_id, True)

    async def resume(self, box_id: str) -> None:
        await self._freeze(box_id, False)

    async def owns(self, box_id: str, pid: int) -> bool:
        return is_inside(pid, box_id)

    async def list(self, labels: Mapping[str, str]) -> Sequence[FoundBox]:
        parts = await self._ready()
        return await self._in_thread(self._list, parts, labels)

    async def ended(self) -> AsyncIterator[BoxEnded]:
        async for event in self._watchers.watch():
            yield event

    async def images(self) -> Sequence[str]:
        return await self._in_thread(self._found_images)

    async def _ready(self) -> _Parts:
        async with self._finding:
            found = self._parts or await self._in_thread(_find, self._records, self._roots.folder)
            self._parts = found
        return found

    def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def _launch(self, parts: _Parts, spec: BoxSpec, rootfs: Path) -> Started:
        parts.launcher.hold_lifeline()
        return parts.launcher.start(spec, self._roots.of(rootfs))

    def _watch(self, box_id: str, started: Started) -> None:
        self._boxes[box_id] = _Box(started.fd, started.bwrap)
        asyncio.get_running_loop().add_reader(started.fd, self._on_end, box_id)

    def _on_end(self, box_id: str) -> None:
        asyncio.get_running_loop().remove_reader(self._boxes[box_id].fd)
        self._group.create_task(self._settle(box_id), name=f"settle {box_id}")

    async def _settle(self, box_id: str) -> None:
        """Tell of an end, once, whoever notices it first."""
        box = self._boxes.pop(box_id, None)
        if box is None:
            return
        asyncio.get_running_loop().remove_reader(box.fd)
        os.close(box.fd)
        code, ooms = await self._in_thread(self._outcome, box_id, box)
        self._watchers.tell(BoxEnded(box_id, _reason(code, ooms, box.ending)))

    def _outcome(self, box_id: str, box: _Box) -> tuple[int, int]:
        """How process 1 ended, as bubblewrap tells it, and how many of the box's processes the memory limit has ended."""
        assert self._parts is not None
        try:
            code = box.bwrap.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            box.bwrap.kill()
            code = box.bwrap.wait()
        return code, self._parts.cgroups.ooms(box_id)

    async def _freeze(self, box_id: str, frozen: bool) -> None:
        parts = await self._ready()
        try:
            await self._in_thread(parts.cgroups.freeze, box_id, frozen)
        except FileNotFoundError as error:
            raise SandboxGone("There is no such box.") from error
        except TimeoutError as error:
            raise EngineUnavailable("The processes of a box did not stand still in time.") from error

    def _end(self, parts: _Parts, box_id: str) -> None:
        record = self._records.read(box_id)
        if record is None:
            return
        fd = self._records.process(record)
        if fd is None:
            self._records.end_half_started(box_id)
        else:
            try:
                kill(fd)
                with suppress(OSError):  # what is frozen dies when it moves again
                    parts.cgroups.freeze(box_id, False)
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                if not poll.poll(_PATIENCE_S * 1000):
                    raise EngineUnavailable("A box did not end in time.")
            finally:
                os.close(fd)
        for pid in parts.cgroups.pids(box_id):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parts.launcher.clear(box_id)

    def _list(self, parts: _Parts, labels: Mapping[str, str]) -> Sequence[FoundBox]:
        wanted = labels.items()
        return [
            FoundBox(record.id, self._state(parts, record)) for record in self._records.all() if wanted <= record.labels.items()
        ]

    def _state(self, parts: _Parts, record: BoxRecord) -> BoxState:
        if record.id in self._starting:
            return "running"
        if not self._records.lives(record):
            return "exited"
        return "paused" if parts.cgroups.frozen(record.id) else "running"

    def _found_images(self) -> Sequence[str]:
        found = self._images.iterdir() if self._images.is_dir() else []
        images = [folder for folder in found if (folder / "rootfs").is_dir()]
        images.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
        return [f"{IMAGE_NAME}:{folder.name}" for folder in images]


def _reason(code: int, ooms: int, ending: bool) -> Literal["oom", "exited", "killed"]:
    if code != _KILLED and not ending:
        return "exited"
    return "oom" if ooms and not ending else "killed"


def _find(records: Records, roots: Path) -> _Parts:
    """EngineUnavailable with what is missing and what to do about it."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise EngineUnavailable("bubblewrap is not installed: install the package bubblewrap.")
    compiled()
    cgroups = find_cgroups()
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=_PATIENCE_S)
    return _Parts(said.stdout.split()[-1], cgroups, Launcher(bwrap, cgroups, records, roots), this_machine())
