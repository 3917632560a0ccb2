"""What stands beside a sandbox: the engine's own calls, a bare fork, and what others have made."""

import asyncio
import io
import json
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from statistics import median
from typing import Any

from .ground import IMAGES, Ground
from .load import HERE
from .scenarios import Figures
from .subjects import installed

PRINT = "print(2+2)"
PYTHON = ("python3", "-c", PRINT)
MIB = 1024 * 1024
PEER_S = 120.0
FORKS = """
import os, time
taken = []
for _ in range(100):
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
    taken.append(time.perf_counter() - began)
print(sorted(taken)[50] * 1e3)
"""

Measure = Callable[[], Awaitable[float]]
"""Gives milliseconds."""


def repeated(work: Callable[[], Awaitable[object]], times: int, before: Callable[[], Awaitable[object]] | None = None) -> Measure:
    """The median of so many times; the first does not count, nor does what is done `before` each."""

    async def measure() -> float:
        taken: list[float] = []
        for turn in range(times + 1):
            if before is not None:
                await before()
            began = time.perf_counter()
            await work()
            if turn:
                taken.append((time.perf_counter() - began) * 1e3)
        return median(taken)

    return measure


@asynccontextmanager
async def plain(ground: Ground) -> AsyncIterator[dict[str, Measure]]:
    """A fork with nothing around it, and what the engine can do where no runner waits inside."""
    if ground.engine.name == "bubblewrap":
        root = str(IMAGES / ground.image.rpartition(":")[2] / "rootfs")
        box = ("bwrap", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--cap-drop", "ALL")
        yield {"sandbox_once_ms.fork": fork_ms, "sandbox_exec_ms.engine": repeated(lambda: output(*box, *PYTHON), 6)}
        return
    import aiodocker

    async with aiodocker.Docker(ground.where) as docker:
        container = await _start(docker, ground.image)
        try:
            yield {"sandbox_once_ms.fork": fork_ms, **_calls(docker, ground.image, container)}
        finally:
            await _remove(container)


async def fork_ms() -> float:
    """Fork, exit and wait in a Python with nothing in it."""
    return float(await output(sys.executable, "-I", "-S", "-c", FORKS))


async def output(*command: str, within_s: float = PEER_S) -> bytes:
    """What a command prints; RuntimeError with its complaint where it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(within_s):
            said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        raise RuntimeError((complaint.decode(errors="replace").strip().splitlines() or [f"exit {process.returncode}"])[-1])
    return said


def _calls(docker: Any, image: str, container: Any) -> dict[str, Measure]:
    packed = _packed(1024)

    async def executed() -> None:
        """As one does it who has no runner inside: create, start, read to the end, look at the exit code."""
        execution = await container.exec(PYTHON, stdout=True, stderr=True)
        async with execution.start(detach=False) as stream:
            while await stream.read_out() is not None:
                pass
        assert (await execution.inspect())["ExitCode"] == 0

    async def archived() -> None:
        await container.put_archive("/tmp", packed)
        await container.get_archive("/tmp/kib")

    async def started_ms() -> float:
        taken, made = [], []
        try:
            for _ in range(2):
                began = time.perf_counter()
                made.append(await _start(docker, image))
                taken.append((time.perf_counter() - began) * 1e3)
        finally:
            for one in made:
                await _remove(one)
        return median(taken)

    return {
        "sandbox_exec_ms.engine": repeated(executed, 6),
        "sandbox_file_ms.engine": repeated(archived, 3),
        "sandbox_acquire_ms.engine": started_ms,
    }


async def start_rate(ground: Ground, containers: int) -> float | None:
    """Containers that the engine starts in a second, two at once as a pool does; None where it has none without us."""
    if ground.engine.name != "docker":
        return None
    import aiodocker

    made: list[Any] = []

    async def half(docker: Any) -> None:
        for _ in range(containers // 2):
            made.append(await _start(docker, ground.image))

    async with aiodocker.Docker(ground.where) as docker:
        began = time.perf_counter()
        try:
            await asyncio.gather(half(docker), half(docker))
            return containers / (time.perf_counter() - began)
        finally:
            for container in made:
                await _remove(container)


async def _start(docker: Any, image: str) -> Any:
    """A container that does nothing, with the limits of a sandbox; it is gone in ten minutes, whatever becomes of us."""
    limits = {"Memory": 512 * MIB, "MemorySwap": 512 * MIB, "PidsLimit": 128, "NanoCpus": 10**9}
    host = {"NetworkMode": "none", "CapDrop": ["ALL"], "LogConfig": {"Type": "none"}, "AutoRemove": True, **limits}
    container = await docker.containers.create({"Image": image, "Cmd": ["sleep", "600"], "HostConfig": host})
    await container.start()
    return container


async def _remove(container: Any) -> None:
    import aiodocker

    with suppress(aiodocker.DockerError):
        await container.delete(force=True)


def _packed(size: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("kib")
        member.size = size
        tar.addfile(member, io.BytesIO(b"x" * size))
    return buffer.getvalue()


async def peers(ground: Ground) -> Figures:
    """print(2+2) through what others have made, each in a process and an environment of its own. What cannot be run is said."""
    try:
        python = await asyncio.to_thread(installed, "peers")
    except RuntimeError as exc:
        print(f"llm-sandbox and ipykernel cannot be installed, and are left out: {exc}", flush=True)
        return {}
    programs: dict[str, tuple[str, ...]] = {"ipykernel": ("notebook_kernel.py", PRINT, "100")}
    if ground.engine.name == "docker":
        programs["llm_sandbox"] = ("open_session.py", ground.where, ground.image, PRINT, "20")
    figures: Figures = {}
    for name, (program, *told) in programs.items():
        try:
            taken = json.loads(await output(str(python), str(HERE / "peers" / program), *told))
            figures[f"sandbox_exec_ms.{name}"] = median(taken)
        except (RuntimeError, TimeoutError) as exc:
            print(f"{name} does not run here, and is left out: {exc}", flush=True)
    return figures
