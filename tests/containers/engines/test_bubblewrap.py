"""What an engine without a daemon must see to itself: what survives us, what does not, and who may use it."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec
import pytest

from agentrt.containers import EngineUnavailable, ImageMissing
from agentrt.containers.engines import BoxSpec, BubblewrapEngine, FoundBox
from agentrt.containers.engines.records import Records
from agentrt.containers.mounts import bind, unmount
from fixtures.boxes import UID, Boxes
from fixtures.nobody import NOBODY, as_nobody

pytestmark = pytest.mark.anyio

SERVER = """
import asyncio, sys
from pathlib import Path
from agentrt.containers.engines import BoxSpec, BubblewrapEngine

async def main():
    folder, image, when = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    async with BubblewrapEngine(folder) as engine:
        await engine.probe()
        if when:
            print("starting", flush=True)
        spec = BoxSpec(id="aaaabbbbcccc", image=image, command=("sleep", "1000"), uid=212_345, labels={"whose": "mine"})
        await engine.start(spec)
        print("started", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
BOX, NEXT = "aaaabbbbcccc", "ddddeeeeffff"


@pytest.fixture(params=["bubblewrap"])
def engine(request: pytest.FixtureRequest, bubblewrap_folder: Path) -> BubblewrapEngine:
    return BubblewrapEngine(bubblewrap_folder)


def groups(box_id: str) -> list[Path]:
    while True:
        with suppress(FileNotFoundError):  # others go while we look
            return [path for path in Path("/sys/fs/cgroup").glob(f"**/agentrt/{box_id}") if path.is_dir()]


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether that process ends within the time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(fd):
        return bool(select.select([fd], [], [], seconds)[0])


def left_mounts(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {folder}/" in line]


def sleeper(stdin: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "1000"], stdin=stdin)


def server(folder: Path, image: str, when: float = 0) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", SERVER, str(folder), image, str(when)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


async def test_a_box_dies_with_a_server_that_is_killed_and_the_next_one_clears_up(
    engine: BubblewrapEngine, bubblewrap_folder: Path, sandbox_image: str
) -> None:
    with server(bubblewrap_folder, sandbox_image) as first:
        assert await asyncio.to_thread(first.stdout.readline) == b"started\n"
        record = Records(bubblewrap_folder / "boxes").read(BOX)
        assert record is not None and record.pid
        first.kill()
    assert gone(record.pid)
    async with asyncio.timeout(30):
        while await asyncio.to_thread(groups, BOX) or await asyncio.to_thread(left_mounts, bubblewrap_folder):
            continue  # they go a moment later
    async with engine:
        assert list(await engine.list({"whose": "mine"})) == [FoundBox(BOX, "exited")]
        await engine.remove(BOX)
        assert list(await engine.list({})) == []
    assert groups(BOX) == []
    assert list((bubblewrap_folder / "boxes").iterdir()) == []


@pytest.mark.timeout(120)
async def test_a_server_killed_at_any_moment_of_a_start_leaves_nothing_that_the_next_one_does_not_clear_up(
    engine: BubblewrapEngine, bubblewrap_folder: Path, sandbox_image: str
) -> None:
    for moment in range(0, 32, 2):
        with server(bubblewrap_folder, sandbox_image, 1) as killed:
            assert await asyncio.to_thread(killed.stdout.readline) == b"starting\n"
            select.select([killed.stdout], [], [], moment / 1000)
            killed.kill()
        async with engine:
            for found in await engine.list({}):
                await engine.remove(found.id)
            assert list(await engine.list({})) == []
            await engine.start(BoxSpec(id=NEXT, image=sandbox_image, command=("sleep", "1000"), uid=UID))
        assert groups(BOX) == []
        assert left_mounts(bubblewrap_folder) == []
        assert processes_with(str(bubblewrap_folder)) == []


def processes_with(word: str) -> list[str]:
    """The command lines of processes that name this, once those that are dying have."""
    found: list[str] = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in line and int(pid) != os.getpid() and not gone(int(pid), 30):
            found.append(line)
    return found


async def test_another_engine_on_the_same_folder_sees_and_ends_what_runs(
    boxes: Boxes, engine: BubblewrapEngine, bubblewrap_folder: Path
) -> None:
    async with engine, BubblewrapEngine(bubblewrap_folder) as later:
        box = await boxes.start("import sys; print('up', flush=True); sys.stdin.readline()", labels={"whose": "mine"})
        await box.says()
        assert list(await later.list({"whose": "mine"})) == [FoundBox(box.id, "running")]
        assert await later.owns(box.id, box.pid)
        await later.pause(box.id)
        await later.remove(box.id)
        assert gone(box.pid)
        assert list(await engine.list({})) == []
        await boxes.close()


@pytest.mark.parametrize("changed", ["started", "boot"])
async def test_a_process_that_got_the_number_of_a_box_is_left_alone(
    engine: BubblewrapEngine, bubblewrap_folder: Path, changed: str
) -> None:
    records = Records(bubblewrap_folder / "boxes")
    with sleeper() as stranger:
        try:
            records.write(BOX, {}, stranger.pid)
            other = msgspec.structs.replace(records.read(BOX), **{changed: 1 if changed == "started" else "another boot"})
            (records.folder(BOX) / "box.json").write_bytes(msgspec.json.encode(other))
            async with engine:
                assert [box.state for box in await engine.list({})] == ["exited"]
                await engine.remove(BOX)
                assert list(await engine.list({})) == []
            assert not gone(stranger.pid, 0.1)
        finally:
            stranger.kill()


async def test_what_waited_at_its_gate_when_its_server_died_is_ended(engine: BubblewrapEngine, bubblewrap_folder: Path) -> None:
    records = Records(bubblewrap_folder / "boxes")
    records.write(BOX, {})
    with records.gate(BOX) as gate, sleeper(gate) as waiting:
        gate.close()
        async with engine:
            await engine.remove(BOX)
        assert waiting.wait(30) == -signal.SIGKILL
    assert records.read(BOX) is None


@pytest.mark.parametrize("rubbish", [b"", b"{", b'{"pid": "x"}', b"\xff" * 100])
async def test_a_record_that_was_cut_off_is_listed_as_ended_and_can_be_removed(
    engine: BubblewrapEngine, bubblewrap_folder: Path, rubbish: bytes
) -> None:
    folder = bubblewrap_folder / "boxes" / BOX
    folder.mkdir(parents=True)
    (folder / "box.json").write_bytes(rubbish)
    async with engine:
        assert list(await engine.list({})) == [FoundBox(BOX, "exited")]
        await engine.remove(BOX)
        assert list(await engine.list({})) == []


async def test_boxes_end_with_their_engine(boxes: Boxes, engine: BubblewrapEngine, bubblewrap_folder: Path) -> None:
    async with engine:
        box = await boxes.start("import sys; print('up', flush=True); sys.stdin.readline()")
        await box.says()
        await boxes.let_go()
    assert gone(box.pid)
    assert list((bubblewrap_folder / "boxes").iterdir()) == []
    assert groups(box.id) == []


async def test_only_one_server_starts_boxes_from_a_folder(
    boxes: Boxes, engine: BubblewrapEngine, bubblewrap_folder: Path
) -> None:
    async with engine, BubblewrapEngine(bubblewrap_folder) as other:
        box = await boxes.start("import sys; print('up', flush=True); sys.stdin.readline()")
        with pytest.raises(EngineUnavailable, match="Another server"):
            await other.start(boxes.spec(command=("true",)))
        assert await box.says() == "up"
        await boxes.close()


async def test_names_that_are_no_ids_lead_nowhere(engine: BubblewrapEngine, bubblewrap_folder: Path) -> None:
    async with engine:
        for name in ("../../etc", "..", "", "a/b", "A" * 12):
            await engine.remove(name)
            assert not await engine.owns(name, os.getpid())
    assert (bubblewrap_folder / "images").exists()


async def test_a_user_without_control_groups_is_refused_with_the_reason(
    boxes: Boxes, engine: BubblewrapEngine, bubblewrap_folder: Path
) -> None:
    with as_nobody():
        async with engine:
            status = await engine.probe()
            assert not status.ok
            assert "Run as root, or in a service with Delegate=yes." in status.detail
            with pytest.raises(EngineUnavailable, match="Delegate=yes"):
                await engine.start(boxes.spec(program=""))


@pytest.fixture
def delegated() -> Iterator[None]:
    """This process in control groups that belong to nobody, the user."""
    top = Path("/sys/fs/cgroup")
    mine = {line.split(":")[1]: line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    if (top / "memory" / "tasks").exists():
        tops = {top / name: mine[name] for name in ("memory", "pids", "cpu", "freezer")}
    else:
        tops = {top: mine[""]}
        (top / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    made = {place: place / f"agentrt-test-{os.getpid()}" for place in tops}
    try:
        for folder in made.values():
            folder.mkdir()
            for file in (folder, *folder.glob("cgroup.procs"), *folder.glob("cgroup.subtree_control")):
                os.chown(file, NOBODY, NOBODY)
            (folder / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        for place, folder in made.items():
            (place / tops[place].lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
            for below in (*folder.glob("agentrt*"), folder):
                below.rmdir()


async def test_a_user_with_delegated_control_groups_gets_boxes_with_limits(
    delegated: None, sandbox_image: str, bubblewrap_folder: Path
) -> None:
    tag = sandbox_image.rpartition(":")[2]
    folder = Path("/tmp") / f"agentrt-nobody-{os.getpid()}"
    rootfs = folder / "images" / tag / "rootfs"
    rootfs.mkdir(parents=True)
    os.chown(folder, NOBODY, NOBODY)
    bind(bubblewrap_folder / "images" / tag / "rootfs", rootfs)
    try:
        with as_nobody():
            async with BubblewrapEngine(folder) as engine:
                assert (await engine.probe()).ok
                boxes = Boxes(engine, sandbox_image)
                said = await boxes.run(
                    "print(os.getpid(), os.getuid()); status = dict(l.split(':', 1) for l in open('/proc/self/status'))\n"
                    "print(*(status[n].strip() for n in ('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp')))\nn = 1\nimport time\n"
                    "try:\n    while True:\n        if os.fork() == 0: time.sleep(60)\n        n += 1\n"
                    "except OSError: print(n, flush=True)",
                    limits={"pids": 16},
                )
                assert said.splitlines()[:3] == ["1 212345", f"{'0' * 16} {'0' * 16} 1 2", "16"]
                await boxes.close()
                assert list(await engine.list({})) == []
    finally:
        unmount(rootfs)
        for path in (rootfs, rootfs.parent, folder / "images", folder / "boxes", folder):
            path.rmdir()


async def test_an_image_without_setpriv_says_so(engine: BubblewrapEngine, boxes: Boxes, tmp_path: Path) -> None:
    bare = BubblewrapEngine(tmp_path)
    (tmp_path / "images" / "bare" / "rootfs").mkdir(parents=True)
    async with bare:
        spec = msgspec.structs.replace(boxes.spec(program=""), image="agentrt-sandbox:bare")
        with pytest.raises(ImageMissing, match="util-linux"):
            await bare.start(spec)
        assert list(await bare.list({})) == []
