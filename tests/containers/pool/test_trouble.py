"""The engine, the image or a box does not do what it should."""

import asyncio

import pytest

from agentrt.bus import Bus, SandboxDied
from agentrt.containers import EngineUnavailable, ImageMissing, SandboxGone
from agentrt.containers.engines import INSTANCE_LABEL
from agentrt.containers.runner import Job
from agentrt.kernel import TimedOut, Unavailable
from fixtures.paper_engine import WAITS, PaperEngine

from .conftest import PAPER, Open, until, user, warm

pytestmark = pytest.mark.anyio


async def test_a_missing_image_is_told_at_once_and_no_longer_once_it_is_there(open_: Open, paper: PaperEngine) -> None:
    paper.broken = ImageMissing("there is no image; `agentrt image build` makes it")
    async with open_(min=1) as pools:
        pool = pools["code"]
        with pytest.raises(ImageMissing, match="agentrt image build"):
            await pool.acquire(user("ann"))
        with pytest.raises(ImageMissing) as told:
            await pool.acquire(user("ann"))
        assert (told.value.retry_after_s or 0) >= 1 and "no image" in pool.trouble
        paper.broken = None
        pool.set_image("agentrt-sandbox:new")
        assert (await pool.acquire(user("ann"))).box.image == "agentrt-sandbox:new" and pool.trouble == ""


async def test_without_any_image_the_command_that_makes_one_is_told(open_: Open, paper: PaperEngine) -> None:
    async with open_(image="") as pools:
        with pytest.raises(ImageMissing, match="agentrt image build"):
            await pools["code"].acquire(user("ann"))
        pools.set_image(PAPER)
        assert (await pools["code"].acquire(user("ann"))).alive


async def test_failing_starts_are_tried_again_less_and_less_often(open_: Open, paper: PaperEngine) -> None:
    paper.broken = EngineUnavailable("the engine is off")
    async with open_(min=4) as pools:
        await paper.until(lambda: paper.count["start"] >= 4)
        before = paper.count["start"]
        for _ in range(20):
            with pytest.raises(EngineUnavailable, match="the engine is off"):
                await pools["code"].acquire(user("ann"))
        assert paper.count["start"] < before + 20, "it waits before it tries again, however many ask"
        paper.broken = None
        await warm(pools, 4)
        assert pools["code"].trouble == ""


async def test_a_box_that_never_dials_home_is_removed_and_told(open_: Open, paper: PaperEngine) -> None:
    paper.silent = True
    async with open_(start_timeout_s=0.5, min=1) as pools:
        with pytest.raises(TimedOut, match=r"the container did not get ready in 0.5 s"):
            await pools["code"].acquire(user("ann"))
        await paper.until(lambda: not paper.boxes)
        paper.silent = False
        await warm(pools, 1)
        assert (await pools["code"].acquire(user("ann"))).alive and pools["code"].trouble == ""


async def test_a_box_that_ends_before_it_is_ready_is_not_waited_for(open_: Open, paper: PaperEngine) -> None:
    paper.silent = True
    async with open_(start_timeout_s=60) as pools, asyncio.TaskGroup() as group:
        said = r"ended before it was ready: its memory limit was reached"
        waiting = group.create_task(_raises(pools["code"].acquire(user("ann")), said, Unavailable))
        for _ in range(2):  # the first may be bad luck
            await paper.until(lambda: bool(paper.boxes))
            paper.die(next(iter(paper.boxes)), "oom")
        await waiting


@pytest.mark.parametrize(
    ("reason", "said"), [("oom", "its memory limit was reached"), ("killed", "it was killed"), (None, "its first process ended")]
)
async def test_a_box_that_dies_in_mid_job_says_why_and_is_replaced(
    open_: Open, paper: PaperEngine, reason: str | None, said: str
) -> None:
    bus = Bus()
    with bus.subscribe(SandboxDied) as deaths:
        async with open_(bus=bus) as pools:
            lease = await pools["code"].acquire(user("ann"))

            async def run() -> None:
                async with lease.use() as link:
                    paper.boxes[lease.box.id].jobs.append(0)
                    outcome = await link.run(Job(mode="kernel", code=WAITS), lambda stream, data: None)
                    assert outcome.ended == "box"

            async with asyncio.TaskGroup() as group:
                running = group.create_task(_raises(run(), said))
                await until(lambda: len(paper.boxes[lease.box.id].jobs) == 2)
                paper.die(lease.box.id, reason)
                await lease.link.lost.wait()
                again = await pools["code"].acquire(user("ann"))
                await running
            assert again.id != lease.id and again.lost_state
            with pytest.raises(SandboxGone, match=said):
                pools["code"].get(lease.id)
            assert deaths.pending() == [SandboxDied(lease.id, "code", reason or "exited")]


async def _raises(work, said: str, kind: type[Exception] = SandboxGone) -> None:
    with pytest.raises(kind, match=said):
        await work


async def test_a_warm_box_that_dies_is_replaced_and_nobody_gets_it(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=2) as pools:
        await warm(pools, 2)
        dead = next(iter(paper.boxes))
        paper.die(dead, None)
        await paper.until(lambda: len(paper.boxes) == 2)
        leases = await asyncio.gather(*(pools["code"].acquire(user(name)) for name in ("ann", "bob")))
        assert dead not in [lease.box.id for lease in leases] and all(lease.alive for lease in leases)


async def test_an_engine_that_stops_empties_the_pool_and_it_fills_again_by_itself(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=2, look_s=0.02) as pools:
        await warm(pools, 2)
        lease = await pools["code"].acquire(user("ann"))
        lease.workspace.tree.write("kept", b"kept")
        await warm(pools, 2)
        paper.stop()
        with pytest.raises(SandboxGone, match="the container engine stopped"):
            async with lease.use() as link:
                await link.ping()
        await until(lambda: not pools["code"].stats().warm_instances and bool(pools.engine_error))
        with pytest.raises(EngineUnavailable, match="is off"):
            await pools["code"].acquire(user("ann"))
        paper.gone = False
        await warm(pools, 2)
        assert pools.engine_error == "" and pools["code"].trouble == ""
        again = await pools["code"].acquire(user("ann"))
        assert again.workspace.tree.read("kept") == b"kept"


async def test_what_the_engine_would_not_remove_is_removed_later(open_: Open, paper: PaperEngine) -> None:
    async with open_(look_s=0.02, max=1) as pools:
        lease = await pools["code"].acquire(user("ann"))
        paper.keeps = True
        await pools["code"].release(lease.id)
        assert lease.box.id in paper.boxes and lease.state == "draining"
        paper.keeps = False
        again = await pools["code"].acquire(user("ann"))
        assert lease.state == "removed" and again.alive


async def test_the_list_is_the_truth(open_: Open, paper: PaperEngine) -> None:
    """A box that the engine has no more is over; one that only the engine knows is removed; others' are left alone."""
    async with open_(look_s=0.02) as pools:
        lease = await pools["code"].acquire(user("ann"))
        kept = paper.boxes.pop(lease.box.id)
        await until(lambda: not lease.alive)
        kept.end()
        paper.strangers = {"a" * 16: {INSTANCE_LABEL: "instance1"}, "b" * 16: {INSTANCE_LABEL: "other"}}
        await paper.until(lambda: "a" * 16 in paper.removed)
        assert list(paper.strangers) == ["b" * 16]


async def test_a_job_of_a_box_that_vanishes_is_told_even_if_the_job_raises(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools:
        lease = await pools["code"].acquire(user("ann"))
        with pytest.raises(SandboxGone, match="its memory limit was reached"):
            async with lease.use():
                paper.die(lease.box.id, "oom")
                await lease.link.lost.wait()
                raise ValueError("what came of it")
        with pytest.raises(ValueError, match="its own"):
            async with (await pools["code"].acquire(user("ann"))).use():
                raise ValueError("its own")


async def test_a_mistake_over_one_box_takes_nothing_else_with_it(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=1) as pools:
        await warm(pools, 1)
        lease = await pools["code"].acquire(user("ann"))
        paper.broken = LookupError("a mistake")
        await paper.until(lambda: paper.count["start"] >= 2)
        async with lease.use() as link:
            await link.ping()
        paper.broken = None
        await warm(pools, 1)
