"""More callers than containers."""

import asyncio

import pytest

from agentrt.containers.pool import Lease, Pool
from agentrt.containers.runner import Job
from agentrt.kernel import Exhausted, Unavailable
from fixtures.paper_engine import WAITS, PaperEngine

from .conftest import Open, until, user, warm

pytestmark = pytest.mark.anyio


async def busy(pool: Pool, group: asyncio.TaskGroup, *names: str) -> list[Lease]:
    """Leases in which something runs until it is told to finish."""

    async def run(lease: Lease) -> None:
        async with lease.use() as link:
            await link.run(Job(mode="python", code=WAITS), lambda stream, data: None)

    leases = [await pool.acquire(user(name)) for name in names]
    for lease in leases:
        group.create_task(run(lease))
    await until(lambda: all(lease.state == "running" for lease in leases))
    return leases


async def queued(pool: Pool, count: int) -> None:
    await until(lambda: pool.stats().queue_length == count)


async def test_who_waits_is_served_in_turn(open_: Open, paper: PaperEngine) -> None:
    served: list[str] = []
    paper.ready.clear()
    async with open_(max=1) as pools, asyncio.TaskGroup() as group:
        pool = pools["code"]

        async def come(name: str) -> None:
            lease = await pool.acquire(user(name))
            served.append(name)
            await pools["code"].release(lease.id)

        for place, name in enumerate(("ann", "bob", "cat", "dan"), 1):
            group.create_task(come(name))
            await queued(pool, place)
        paper.ready.set()
    assert served == ["ann", "bob", "cat", "dan"]


async def test_nobody_overtakes_those_who_wait(open_: Open, paper: PaperEngine) -> None:
    """A box that gets warm is the first one's, even if somebody else asks in that very moment."""
    paper.ready.clear()
    served: list[str] = []
    async with open_(max=2) as pools, asyncio.TaskGroup() as group:
        pool = pools["code"]

        async def come(name: str) -> None:
            await pool.acquire(user(name))
            served.append(name)

        group.create_task(come("first"))
        await queued(pool, 1)
        paper.ready.set()
        await paper.until(lambda: bool(paper.count["started"]))
        group.create_task(come("second"))
    assert served == ["first", "second"]


async def test_a_full_pool_says_so_at_the_deadline_and_when_to_come_back(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=2, max=2, queue_wait_s=0.05) as pools, asyncio.TaskGroup() as group:
        await warm(pools, 2)
        leases = await busy(pools["code"], group, "ann", "bob")
        with pytest.raises(
            Exhausted, match=r"all 2 containers of the pool 'code' are in use, and none became free in 0.05 s"
        ) as told:
            await pools["code"].acquire(user("cat"))
        assert told.value.code == "pool_exhausted" and (told.value.retry_after_s or 0) >= 1
        assert all(lease.state == "running" for lease in leases) and pools["code"].stats().queue_length == 0
        for lease in leases:
            paper.boxes[lease.box.id].finish()


async def test_a_start_that_takes_longer_than_the_wait_is_not_called_full(open_: Open, paper: PaperEngine) -> None:
    paper.ready.clear()
    async with open_(queue_wait_s=0.05) as pools:
        with pytest.raises(Exhausted, match=r"no container of the pool 'code' is ready, and none became free in 0.05 s"):
            await pools["code"].acquire(user("ann"))
        paper.ready.set()


async def test_more_than_may_wait_are_refused_at_once(open_: Open, paper: PaperEngine) -> None:
    async with open_(max=1, queue=1) as pools, asyncio.TaskGroup() as group:
        pool = pools["code"]
        (lease,) = await busy(pool, group, "ann")
        waiting = group.create_task(pool.acquire(user("bob")))
        await queued(pool, 1)
        with pytest.raises(Exhausted, match="1 callers already wait"):
            await pool.acquire(user("cat"))
        paper.boxes[lease.box.id].finish()
        assert (await waiting).holder == user("bob")


async def test_who_gives_up_leaves_the_line_and_the_next_is_served(open_: Open, paper: PaperEngine) -> None:
    async with open_(max=1) as pools, asyncio.TaskGroup() as group:
        pool = pools["code"]
        (lease,) = await busy(pool, group, "ann")
        gives_up = group.create_task(pool.acquire(user("bob")))
        await queued(pool, 1)
        stays = group.create_task(pool.acquire(user("cat")))
        await queued(pool, 2)
        gives_up.cancel()
        await queued(pool, 1)
        paper.boxes[lease.box.id].finish()
        assert (await stays).holder == user("cat") and pool.find(user("bob")) is None


async def test_a_box_whose_taker_leaves_in_that_moment_is_destroyed(open_: Open, paper: PaperEngine) -> None:
    """Cancel a waiter at every step of being served: no box may be left without an owner."""
    for steps in range(12):
        async with open_(max=1) as pools, asyncio.TaskGroup() as group:
            pool = pools["code"]
            (lease,) = await busy(pool, group, f"ann{steps}")
            waiting = group.create_task(pool.acquire(user(f"bob{steps}")))
            await queued(pool, 1)
            started = paper.count["started"]
            paper.boxes[lease.box.id].finish()
            await paper.until(lambda before=started: paper.count["started"] > before)
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            again = await pool.acquire(user("cat"))
            assert again.alive and len(paper.boxes) == 1
        assert paper.boxes == {}


async def test_fifty_sessions_get_along_with_eight_boxes(open_: Open, paper: PaperEngine) -> None:
    """Each works twice; between the two its box may have gone to another, its files never."""
    async with open_(min=2, max=8) as pools:
        pool = pools["code"]

        async def session(number: int) -> None:
            for turn in range(2):
                lease = await pool.acquire(user(f"user{number}"))
                async with lease.use() as link:
                    assert len(paper.boxes) <= 8
                    if turn == 0:
                        lease.workspace.tree.write("mine", str(number).encode())
                    await link.run(Job(mode="python", code="1"), lambda stream, data: None)
                    assert lease.workspace.tree.read("mine") == str(number).encode()

        await asyncio.gather(*(session(number) for number in range(50)))
        assert pool.stats().queue_length == 0


async def test_the_lease_that_was_idle_for_longest_gives_way_and_one_in_use_never(open_: Open, paper: PaperEngine) -> None:
    async with open_(max=3) as pools, asyncio.TaskGroup() as group:
        pool = pools["code"]
        (running,) = await busy(pool, group, "running")
        older, newer = await pool.acquire(user("older")), await pool.acquire(user("newer"))
        for lease in (older, newer):
            async with lease.use():
                pass
        await pool.acquire(user("fourth"))
        assert [pool.find(lease.holder) for lease in (running, older, newer)] == [running, None, newer]
        with pytest.raises(Exception, match="its container was needed by others while it was idle"):
            async with older.use():
                pass
        paper.boxes[running.box.id].finish()


async def test_a_lease_that_was_just_given_is_not_taken_away_before_it_is_used(open_: Open) -> None:
    async with open_(min=1, max=1, queue_wait_s=0.3) as pools:
        await warm(pools, 1)
        lease = await pools["code"].acquire(user("ann"))
        with pytest.raises(Exhausted):
            await pools["code"].acquire(user("bob"))
        async with lease.use() as link:
            await link.ping()


async def test_closing_tells_those_who_wait(open_: Open, paper: PaperEngine) -> None:
    paper.ready.clear()
    async with asyncio.TaskGroup() as group:
        async with open_() as pools:
            waiting = group.create_task(_refused(pools["code"]))
            await queued(pools["code"], 1)
        paper.ready.set()
        await waiting


async def _refused(pool: Pool) -> None:
    with pytest.raises(Unavailable, match="the server is stopping"):
        await pool.acquire(user("ann"))


async def test_starts_are_paced(open_: Open, paper: PaperEngine) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with open_(min=6, refill_per_s=20) as pools:
        await warm(pools, 6)
        assert loop.time() - began >= 5 / 20
