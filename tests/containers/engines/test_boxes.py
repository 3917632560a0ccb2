"""The life of a box, the same on every engine."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agentrt.containers import ImageMissing, SandboxGone
from agentrt.containers.engines import INSTANCE_LABEL, BoxEnded, Engine, FoundBox, Mount
from agentrt.containers.mounts import bind, share_tree, unmount
from agentrt.kernel import Invalid
from fixtures.boxes import UID, Boxes
from fixtures.ends import watching

pytestmark = pytest.mark.anyio

ECHO = "import sys\nprint('up', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)"


async def ids(engine: Engine) -> set[str]:
    return {box.id for box in await engine.list({})}


async def state(engine: Engine, box_id: str) -> str:
    return {box.id: box.state for box in await engine.list({})}[box_id]


async def test_boxes_are_found_by_all_of_their_labels(boxes: Boxes) -> None:
    here = secrets.token_hex(4)
    first = await boxes.start(ECHO, labels={INSTANCE_LABEL: here, "agentrt.pool": "code"})
    second = await boxes.start(ECHO, labels={INSTANCE_LABEL: here, "agentrt.pool": "other"})
    everywhere = {box.id for box in await boxes.engine.list({INSTANCE_LABEL: here})}
    assert everywhere == {first.id, second.id}
    found = await boxes.engine.list({INSTANCE_LABEL: here, "agentrt.pool": "code"})
    assert list(found) == [FoundBox(first.id, "running")]
    assert list(await boxes.engine.list({INSTANCE_LABEL: "elsewhere"})) == []


async def test_a_removed_box_is_gone_and_may_be_removed_again(boxes: Boxes) -> None:
    async with watching(boxes.engine) as ends:
        box = await boxes.start(ECHO)
        assert await box.says() == "up"
        await boxes.engine.remove(box.id)
        assert await ends.of(box.id) == BoxEnded(box.id, "killed")
    assert box.id not in await ids(boxes.engine)
    assert str(box.pid) not in os.listdir("/proc")
    await boxes.engine.remove(box.id)
    await boxes.engine.remove("neverwashere")


async def test_a_box_may_be_removed_by_several_at_once(boxes: Boxes) -> None:
    box = await boxes.start(ECHO)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(boxes.engine.remove(box.id))
    await boxes.engine.remove(box.id)
    assert box.id not in await ids(boxes.engine)


async def test_everything_in_a_box_ends_with_it(boxes: Boxes) -> None:
    box = await boxes.start(
        "import subprocess, time\nsubprocess.Popen(['setsid', 'sleep', '1000'])\n"
        "if os.fork() == 0: os.setsid(); time.sleep(1000)\nprint('up', flush=True); time.sleep(1000)"
    )
    await box.says()
    assert len(processes_of_uid(UID)) == 3
    await boxes.engine.remove(box.id)
    assert processes_of_uid(UID) == []


async def test_a_box_that_ends_by_itself_is_told_of_and_listed_until_it_is_removed(boxes: Boxes) -> None:
    async with watching(boxes.engine) as ends:
        box = await boxes.start("import sys; print('up', flush=True); sys.stdin.readline(); sys.exit(3)")
        await box.says()
        await box.hears("end")
        assert await ends.of(box.id) == BoxEnded(box.id, "exited")
    async with asyncio.timeout(30):
        while await state(boxes.engine, box.id) != "exited":
            continue  # Docker tells of an end a moment before it lists it
    await boxes.engine.remove(box.id)
    assert box.id not in await ids(boxes.engine)


async def test_a_paused_box_stands_still_and_goes_on_where_it_was(boxes: Boxes) -> None:
    box = await boxes.start(
        "import time, threading\ncount = 0\ndef tick():\n    global count\n    while True: count += 1; time.sleep(0)\n"
        "threading.Thread(target=tick, daemon=True).start()\nimport sys\nfor line in sys.stdin: print(count, flush=True)"
    )
    await box.hears("how many")
    await box.says()
    await boxes.engine.pause(box.id)
    await boxes.engine.pause(box.id)
    assert await state(boxes.engine, box.id) == "paused"
    before = processor_time(box.pid)
    await box.hears("how many")
    await asyncio.to_thread(busy_for_a_while)
    assert processor_time(box.pid) == before
    await boxes.engine.resume(box.id)
    await boxes.engine.resume(box.id)
    assert int(await box.says()) > 0
    assert await state(boxes.engine, box.id) == "running"


async def test_a_paused_box_can_be_removed(boxes: Boxes) -> None:
    box = await boxes.start(ECHO)
    await boxes.engine.pause(box.id)
    await boxes.engine.remove(box.id)
    assert box.id not in await ids(boxes.engine)


async def test_what_is_not_there_cannot_be_paused(boxes: Boxes) -> None:
    for change in (boxes.engine.pause, boxes.engine.resume):
        with pytest.raises(SandboxGone):
            await change("neverwashere")


async def test_an_engine_knows_which_processes_are_inside_a_box(boxes: Boxes) -> None:
    one = await boxes.start(
        "import subprocess, sys\nprint('up', flush=True)\nchild = subprocess.Popen(['sleep', '1000']); sys.stdin.readline()"
    )
    other = await boxes.start(ECHO)
    await one.says()
    await other.says()
    engine = boxes.engine
    assert await engine.owns(one.id, one.pid)
    assert not await engine.owns(other.id, one.pid)
    assert not await engine.owns(one.id, os.getpid())
    assert not await engine.owns(one.id, 1)
    assert not await engine.owns(one.id, 0)
    assert not await engine.owns("neverwashere", one.pid)
    assert not await engine.owns(one.id[:-1], one.pid)


async def test_an_image_that_is_not_there_is_an_error_with_the_command_that_makes_it(boxes: Boxes) -> None:
    spec = msgspec.structs.replace(boxes.spec(program=ECHO), image="agentrt-sandbox:000000000000")
    with pytest.raises(ImageMissing, match="agentrt image build"):
        await boxes.engine.start(spec)
    assert spec.id not in await ids(boxes.engine)


async def test_a_command_that_is_not_in_the_image_is_an_error(boxes: Boxes) -> None:
    spec = boxes.spec(command=("no-such-program",))
    with pytest.raises(Invalid) as refused:
        await boxes.engine.start(spec)
    assert refused.value.param == "command"
    assert spec.id not in await ids(boxes.engine)


async def test_a_command_that_ends_at_once_with_an_error_did_start(boxes: Boxes) -> None:
    async with watching(boxes.engine) as ends:
        waits = await boxes.start(ECHO)  # so that ends are being told of
        await boxes.engine.remove(waits.id)
        assert (await ends.of(waits.id)).reason == "killed"
        spec = boxes.spec(command=("false",))
        await boxes.engine.start(spec)
        assert await ends.of(spec.id) == BoxEnded(spec.id, "exited")
        await boxes.engine.remove(spec.id)


async def test_images_are_listed(boxes: Boxes) -> None:
    assert boxes.image in await boxes.engine.images()


async def test_a_start_that_is_called_off_leaves_nothing(boxes: Boxes) -> None:
    for moment in (0.0, 0.004, 0.02, 0.06):
        spec = boxes.spec(command=("sleep", "1000"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(moment):
                await boxes.engine.start(spec)
                await asyncio.Event().wait()
        await boxes.engine.remove(spec.id)  # one that was started in time
        assert spec.id not in await ids(boxes.engine)


async def test_several_boxes_start_at_once(boxes: Boxes) -> None:
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(boxes.start(ECHO, uid=UID + n)) for n in range(4)]
    for box in started:
        assert await box.result().says() == "up"


@pytest.fixture
def shared_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose later mounts are seen where it is mounted."""
    folder = tmp_path / "slots"
    folder.mkdir()
    share_tree(folder)
    try:
        yield folder
    finally:
        unmount(folder)


async def test_what_the_host_mounts_later_appears_inside_and_disappears_again(
    boxes: Boxes, shared_folder: Path, tmp_path: Path
) -> None:
    slot = shared_folder / "slot"
    (slot / "below").mkdir(parents=True)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "file").write_text("of the host")
    box = await boxes.start(
        "import sys\nfor line in sys.stdin: print(os.listdir('/slot/below'), flush=True)",
        mounts=(Mount(source=slot, target="/slot", receives=True, read_only=False),),
    )
    for expected in ("[]", "['file']", "[]", "['file']"):
        if expected != "[]":
            bind(tmp_path / "given", slot / "below")
        await box.hears("look")
        said = await box.says()
        if expected != "[]":
            unmount(slot / "below")
        assert said == expected


def processes_of_uid(uid: int) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}").st_uid == uid:
                found.append(pid)
        except FileNotFoundError:
            continue
    return found


def processor_time(pid: int) -> str:
    return Path(f"/proc/{pid}/schedstat").read_text().split()[0]


def busy_for_a_while() -> None:
    """Time in which a process that can run does."""
    for _ in range(200):
        os.stat("/proc/self/status")
        os.sched_yield()
    os.getrandom(1 << 20)
