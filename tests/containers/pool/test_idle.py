"""Boxes that nobody uses."""

import asyncio

import pytest

from agentrt.containers import SandboxGone
from agentrt.containers.pool import Lease
from fixtures.paper_engine import PaperEngine

from .conftest import Open, until, user, warm

pytestmark = pytest.mark.anyio


async def used(lease: Lease) -> Lease:
    async with lease.use():
        pass
    return lease


async def becomes(lease: Lease, state: str) -> None:
    await until(lambda: lease.state == state)


async def test_an_idle_box_is_paused_and_woken_by_the_next_use(open_: Open, paper: PaperEngine) -> None:
    async with open_(pause_after_s=0.03) as pools:
        lease = await used(await pools["code"].acquire(user("ann")))
        await becomes(lease, "paused")
        assert paper.boxes[lease.box.id].paused
        async with lease.use() as link:
            assert lease.state == "running" and not paper.boxes[lease.box.id].paused
            await link.ping()
        assert not lease.lost_state


async def test_many_that_come_at_once_wake_it_once(open_: Open, paper: PaperEngine) -> None:
    async with open_(pause_after_s=0.03) as pools:
        lease = await used(await pools["code"].acquire(user("ann")))
        await becomes(lease, "paused")

        async def use() -> None:
            async with lease.use(shared=True) as link:
                await link.ping()

        await asyncio.gather(*(use() for _ in range(10)))
        assert paper.count["resume"] == 1


async def test_a_use_that_comes_while_it_is_being_paused_waits_and_wakes_it(open_: Open, paper: PaperEngine) -> None:
    async with open_(pause_after_s=0.03) as pools, asyncio.TaskGroup() as group:
        paper.pausing.clear()
        lease = await used(await pools["code"].acquire(user("ann")))
        await paper.until(lambda: paper.count["pause"] == 1)
        using = group.create_task(used(lease))
        await asyncio.sleep(0)
        paper.pausing.set()
        await using
        assert paper.count["resume"] == 1


async def test_one_that_is_released_while_it_is_being_paused_is_gone(open_: Open, paper: PaperEngine) -> None:
    async with open_(pause_after_s=0.03) as pools:
        paper.pausing.clear()
        lease = await used(await pools["code"].acquire(user("ann")))
        await paper.until(lambda: paper.count["pause"] == 1)
        await pools["code"].release(lease.id)
        assert lease.state == "removed"
        paper.boxes[lease.box.id] = type("Gone", (), {"paused": False, "end": lambda self: None, "spec": paper.specs[0]})()
        paper.pausing.set()
        assert (await pools["code"].acquire(user("ann"))).alive


async def test_after_a_while_it_is_removed_and_its_files_stay(open_: Open, paper: PaperEngine) -> None:
    async with open_(pause_after_s=0.02, remove_after_s=1) as pools:
        lease = await used(await pools["code"].acquire(user("ann")))
        lease.workspace.tree.write("kept", b"kept")
        await becomes(lease, "paused")
        await becomes(lease, "removed")
        assert paper.count["paused"] == 1 and pools["code"].stats().active_instances == 0
        with pytest.raises(SandboxGone, match="nobody used it for a while"):
            pools["code"].get(lease.id)
        with pytest.raises(SandboxGone, match="nobody used it for a while"):
            await used(lease)
        again = await pools["code"].acquire(user("ann"))
        assert again.lost_state and again.workspace.tree.read("kept") == b"kept"


async def test_a_box_in_use_is_neither_paused_nor_removed(open_: Open, paper: PaperEngine) -> None:
    async with open_(pause_after_s=0.01, remove_after_s=0.02) as pools:
        lease = await pools["code"].acquire(user("ann"))
        async with lease.use() as link:
            beside = await used(await pools["code"].acquire(user("bob")))
            await becomes(beside, "removed")
            await link.ping()
            assert lease.state == "running" and not paper.boxes[lease.box.id].paused


async def test_a_lease_may_be_kept_for_a_shorter_time_than_the_others(open_: Open) -> None:
    async with open_(pause_after_s=60) as pools:
        long = await used(await pools["code"].acquire(user("long")))
        short = await used(await pools["code"].acquire(user("short"), expires_s=0.05))
        await becomes(short, "removed")
        assert long.alive


async def test_what_a_rush_left_warm_goes_again(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=1, max=8, pause_after_s=0.05) as pools, asyncio.TaskGroup() as group:
        paper.ready.clear()
        waiting = [group.create_task(pools["code"].acquire(user(f"user{number}"))) for number in range(6)]
        await paper.until(lambda: paper.count["start"] >= 2)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        paper.ready.set()
        await paper.until(lambda: paper.count["started"] == 7)
        await until(lambda: pools["code"].stats().warm_instances == 1)


async def test_a_new_image_replaces_what_nobody_uses_and_the_rest_once_it_is_idle(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=1) as pools:
        pool = pools["code"]
        idle = await used(await pool.acquire(user("idle")))
        busy = await pool.acquire(user("busy"))
        await warm(pools, 1)
        async with busy.use() as link:
            pool.set_image("agentrt-sandbox:newer")
            await becomes(idle, "removed")
            await link.ping()
        await becomes(busy, "removed")
        await warm(pools, 1)
        assert {box.spec.image for box in paper.boxes.values()} == {"agentrt-sandbox:newer"}
        assert pool.stats().image == "agentrt-sandbox:newer"
        with pytest.raises(SandboxGone, match="its image was replaced by a newer one"):
            pool.get(busy.id)
