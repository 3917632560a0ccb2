"""Boxes that are not pooled."""

import asyncio
from pathlib import Path

import pytest

from agentrt.containers import ImageMissing, Limits
from agentrt.containers.engines import Engine
from agentrt.containers.pool import SingleSpec
from agentrt.containers.runner import Job
from agentrt.kernel import Exhausted, NotFound
from fixtures.paper_engine import PaperEngine

from .conftest import PAPER, Open, until

pytestmark = pytest.mark.anyio

SPEC = SingleSpec(image=PAPER, limits=Limits(memory_mb=64))


async def test_it_is_there_until_it_is_removed_and_its_files_outlive_stop_and_start(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools:
        singles = pools.singles
        made = await singles.create("default", "ann", SPEC, {"port": 8080})
        assert (made.state, made.record.extra) == ("stopped", {"port": 8080})
        await singles.start(made.id)
        assert made.state == "running"
        assert paper.specs[0].limits.memory_mb == 64
        made.lease.workspace.tree.write("kept", b"kept")
        assert (await singles.stop(made.id)).state == "stopped" and paper.boxes == {}
        await singles.start(made.id)
        assert made.lease.workspace.tree.read("kept") == b"kept"
        await singles.remove(made.id)
        assert paper.boxes == {} and singles.all() == []
        with pytest.raises(NotFound, match="there is no VM 'vm_"):
            singles.get(made.id)


async def test_starting_and_stopping_twice_is_fine_also_at_once(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools:
        made = await pools.singles.create("default", "ann", SPEC)
        await asyncio.gather(*(pools.singles.start(made.id) for _ in range(3)))
        assert paper.count["started"] == 1
        await asyncio.gather(*(pools.singles.stop(made.id) for _ in range(3)))
        assert made.state == "stopped" and len(paper.removed) == 1


async def test_those_that_ran_run_again_after_a_restart(open_: Open, paper: PaperEngine, home: Path) -> None:
    async with open_(singles=home / "vms") as pools:
        runs = await pools.singles.create("default", "ann", SPEC)
        rests = await pools.singles.create("default", "ann", SPEC)
        await pools.singles.start(runs.id)
        runs.lease.workspace.tree.write("kept", b"kept")
    assert paper.boxes == {}
    (home / "vms" / "vm_broken.json").write_text("{")
    async with open_(singles=home / "vms") as pools:
        again = pools.singles.get(runs.id)
        await until(lambda: again.state == "running")
        assert pools.singles.get(rests.id).state == "stopped" and len(paper.boxes) == 1
        assert again.lease.workspace.tree.read("kept") == b"kept"
        await pools.singles.remove(again.id)
        assert {file.name for file in (home / "vms").iterdir()} == {"vm_broken.json", f"{rests.id}.json"}


async def test_each_has_a_disk_of_its_own_size(open_: Open) -> None:
    async with open_() as pools:
        small, large = [
            await pools.singles.create("default", "ann", SingleSpec(image=PAPER, limits=Limits(disk_mb=size, inodes=100)))
            for size in (8, 24)
        ]
        sizes = [(await pools.singles.start(made.id)).lease.workspace.tree.usage().bytes for made in (small, large)]
        assert sizes[1] - sizes[0] == pytest.approx(16 * 1024 * 1024, rel=0.1)


async def test_one_that_dies_says_why_and_can_be_started_again(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools:
        made = await pools.singles.create("default", "ann", SPEC)
        await pools.singles.start(made.id)
        paper.die(made.lease.box.id, "oom")
        await until(lambda: made.state == "failed")
        await until(lambda: made.why == "its memory limit was reached")
        await pools.singles.start(made.id)
        assert made.state == "running" and made.why == ""


async def test_one_that_cannot_be_started_says_why(open_: Open, paper: PaperEngine) -> None:
    paper.broken = ImageMissing("there is no image 'x'")
    async with open_() as pools:
        made = await pools.singles.create("default", "ann", SPEC)
        with pytest.raises(ImageMissing):
            await pools.singles.start(made.id)
        assert (made.state, made.why) == ("failed", "there is no image 'x'")
        assert (await pools.singles.stop(made.id)).state == "stopped"


async def test_a_start_that_is_given_up_leaves_no_box(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools, asyncio.TaskGroup() as group:
        made = await pools.singles.create("default", "ann", SPEC)
        paper.ready.clear()
        starting = group.create_task(pools.singles.start(made.id))
        await paper.until(lambda: paper.count["start"] == 1)
        starting.cancel()
        await asyncio.wait({starting})
        paper.ready.set()
        await paper.until(lambda: len(paper.removed) == 1)
        assert paper.boxes == {} and made.state != "running"


async def test_there_are_only_so_many(open_: Open) -> None:
    async with open_() as pools:
        for _ in range(50):
            await pools.singles.create("default", "ann", SPEC)
        with pytest.raises(Exhausted, match="50 single containers already"):
            await pools.singles.create("default", "ann", SPEC)


async def test_on_a_real_engine(open_: Open, engine: Engine, sandbox_image: str) -> None:
    async with open_(engine, image=sandbox_image) as pools:
        made = await pools.singles.create("default", "ann", SingleSpec(image=sandbox_image))
        for turn in ("hello\n", "hello\nhello\n"):
            await pools.singles.start(made.id)
            said: list[bytes] = []
            async with made.lease.use(shared=True) as link:
                job = Job(mode="bash", code="echo hello >> kept; cat kept")
                await link.run(job, lambda stream, data, said=said: said.append(data))
            assert b"".join(said).decode() == turn
            await pools.singles.stop(made.id)
