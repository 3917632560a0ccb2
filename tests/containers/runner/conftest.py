import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentrt.containers.runner import COMMAND, RUNNER, Dock, Job, Outcome, RunnerLink

# nobody else's here: the limit of processes counts all of a user
UID = 61_234
PATH = "/usr/local/bin:/usr/bin:/bin"
NAMESPACE = (
    *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs"),
    *("prlimit", "--nproc=100", "--core=0"),
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def eventually(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.to_thread(os.sched_yield)


@dataclass
class Ran:
    """What came of a job, and what it wrote."""

    outcome: Outcome
    stdout: bytes
    stderr: bytes


@dataclass
class Desk:
    """A runner to talk to. `folder` is the working folder, `outside` the same seen from the host; `control` is the folder of the
    socket that was at `socket` inside; `pid` is the runner's on the host."""

    link: RunnerLink
    folder: str
    outside: Path
    control: Path
    socket: str
    pid: int
    group: asyncio.TaskGroup
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, mode: str, code: str = "", **rest) -> Ran:
        wrote = {"stdout": bytearray(), "stderr": bytearray()}

        def take(stream: str, data: bytes) -> None:
            wrote[stream] += data
            self.heard.set()

        rest = {"cwd": self.folder, "wall_s": 20.0} | rest
        outcome = await self.link.run(Job(mode=mode, code=code, **rest), take)
        return Ran(outcome, bytes(wrote["stdout"]), bytes(wrote["stderr"]))

    async def kernel(self, code: str, **rest) -> Ran:
        return await self.run("kernel", code, **rest)

    async def python(self, code: str, **rest) -> Ran:
        return await self.run("python", code, **rest)

    async def bash(self, code: str, **rest) -> Ran:
        return await self.run("bash", code, **rest)

    def start(self, mode: str, code: str = "", **rest) -> asyncio.Task[Ran]:
        """A job that runs beside the test."""
        self.heard.clear()
        return self.group.create_task(self.run(mode, code, **rest))

    async def begun(self, mode: str, code: str, **rest) -> asyncio.Task[Ran]:
        """A job that runs beside the test and has written something."""
        task = self.start(mode, code, **rest)
        await self.heard.wait()
        return task

    def processes(self) -> set[str]:
        """The command lines of what runs below the runner, but zombies."""
        parents: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                except OSError:
                    continue
                if state != "Z":
                    parents.setdefault(int(parent), []).append(int(entry.name))
        below, found = [self.pid], set()
        while below:
            for pid in parents.get(below.pop(), []):
                below.append(pid)
                try:
                    found.add(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
                except OSError:
                    continue
        return found


Open = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that everybody may enter, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="agentrt-runner-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def dial(room: Path, *before: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A runner that dials the dock at `room`."""
    return subprocess.Popen([*before, COMMAND[1], RUNNER, room / "c.sock"], env=env, cwd="/")


@asynccontextmanager
async def started(room: Path, before: tuple[str, ...], python: str, env: dict[str, str]) -> AsyncIterator[Desk]:
    """A runner as a process of this machine: what it is and does, without what an engine holds it in."""
    work = room / "work"
    work.mkdir()
    work.chmod(0o777)
    environment = {"PATH": PATH, "HOME": str(work)} | env
    peers: list[int] = []

    async def owns(pid: int) -> bool:
        peers.append(pid)
        return True

    async with Dock(room) as dock:
        process = dial(room, *before, python, env=environment)
        try:
            link = await dock.link(owns, 20.0)
            async with asyncio.TaskGroup() as group:
                yield Desk(link, str(work), work, room, str(room / "c.sock"), peers[0], group)
                link.close()
        finally:
            await asyncio.to_thread(process.wait, 30)


@pytest.fixture
def open_process(room: Path) -> Open:
    return lambda **env: started(room, (), sys.executable, env)


@pytest.fixture
def open_box(room: Path) -> Open:
    """As process 1 of its own, as a user of its own: what is decided by the kernel is as in a box."""
    python = shutil.which("python3", path="/usr/bin")
    if os.geteuid() != 0 or python is None or not all(map(shutil.which, ("unshare", "setpriv", "prlimit"))):
        pytest.skip("needs root, unshare, setpriv, prlimit and the system's Python")
    return lambda **env: started(room, NAMESPACE, python, env)


@pytest.fixture(params=["process", "box"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with request.getfixturevalue(f"open_{request.param}")() as desk:
        yield desk


@pytest.fixture
async def box(open_box: Open) -> AsyncIterator[Desk]:
    async with open_box() as desk:
        yield desk
