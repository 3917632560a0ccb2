"""What a pool gives, to whom, and what is left of it."""

import asyncio
from pathlib import Path

import pytest
import structlog

from agentrt.containers import SandboxGone
from agentrt.containers.engines import Mount
from agentrt.containers.runner import COMMAND, Job
from agentrt.kernel import NotFound
from fixtures.paper_engine import WAITS, PaperEngine

from .conftest import Open, until, user, warm

pytestmark = pytest.mark.anyio


def ignore(stream: str, data: bytes) -> None: ...


async def test_boxes_are_started_for_nobody_and_bound_at_acquire(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=2) as pools:
        await warm(pools, 2)
        known = set(paper.boxes)
        lease = await pools["code"].acquire(user("ann"))
        assert lease.box.id in known and lease.state == "leased" and lease.id.startswith("sbx_")
        assert not any("ann" in str(spec) for spec in paper.specs)


async def test_what_is_taken_is_replaced_behind_it(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=2) as pools:
        await warm(pools, 2)
        await pools["code"].acquire(user("ann"))
        await warm(pools, 2)
        stats = pools["code"].stats()
        assert (stats.warm_instances, stats.active_instances, stats.creating_instances) == (2, 1, 0)
        assert (stats.type, stats.max_instances, stats.queue_length, stats.image) == ("code", 8, 0, "agentrt-sandbox:paper")


async def test_a_holder_that_comes_back_finds_its_own(open_: Open) -> None:
    async with open_() as pools:
        pool = pools["code"]
        first, again, other = await asyncio.gather(*(pool.acquire(user(name)) for name in ("ann", "ann", "bob")))
        assert first is again and first is pool.find(user("ann")) and other is not first
        assert pools["code"].get(first.id) is first and pool.stats().active_instances == 2


async def test_a_box_is_never_handed_to_a_second_holder(open_: Open, paper: PaperEngine) -> None:
    """Whatever is done with boxes, in whatever order: no box has two holders, no uid two live boxes."""
    had: dict[str, set[str]] = {}

    async def lives(pools, name: str) -> None:
        for _ in range(6):
            lease = await pools["code"].acquire(user(name))
            had.setdefault(lease.box.id, set()).add(name)
            taken = [box.spec.uid for box in paper.boxes.values()]
            assert len(taken) == len(set(taken))
            try:
                async with lease.use() as link:
                    await link.run(Job(mode="python", code="1"), ignore)
                await pools["code"].release(lease.id)
            except SandboxGone:  # it was evicted for somebody else
                continue

    async with open_(min=2, max=4) as pools, asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(lives(pools, f"user{number}"))
    assert all(len(holders) == 1 for holders in had.values()) and len(had) > 30


async def test_released_is_destroyed_and_its_workspace_stays(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools:
        lease = await pools["code"].acquire(user("ann"))
        lease.workspace.tree.write("kept.txt", b"kept")
        await pools["code"].release(lease.id)
        assert lease.box.id in paper.removed and lease.state == "removed" and pools["code"].find(user("ann")) is None
        again = await pools["code"].acquire(user("ann"))
        assert again.box.id != lease.box.id and again.workspace.tree.read("kept.txt") == b"kept"


async def test_releasing_twice_and_asking_for_what_never_was_are_told_apart(open_: Open) -> None:
    async with open_() as pools:
        lease = await pools["code"].acquire(user("ann"))
        await pools["code"].release(lease.id)
        with pytest.raises(SandboxGone, match=r"is gone: it was released$"):
            await pools["code"].release(lease.id)
        with pytest.raises(SandboxGone, match="it was released or never was"):
            pools["code"].get("sbx_never")
        with pytest.raises(NotFound, match="there is no pool 'gpu'; there are code"):
            pools["gpu"]


async def test_two_that_release_at_once_both_return_and_one_ends_it(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools:
        lease = await pools["code"].acquire(user("ann"))
        done = await asyncio.gather(*(pools["code"].release(lease.id) for _ in range(5)), return_exceptions=True)
        assert paper.removed == [lease.box.id]
        assert [type(error) for error in done if error] == [SandboxGone] * 4


async def test_one_job_at_a_time_unless_it_leaves_nothing(open_: Open, paper: PaperEngine) -> None:
    async with open_() as pools, asyncio.TaskGroup() as group:
        lease = await pools["code"].acquire(user("ann"))
        box = paper.boxes[lease.box.id]

        async def run(code: str, *, shared: bool) -> None:
            async with lease.use(shared=shared) as link:
                await link.run(Job(mode="python", code=code), ignore)

        waiting = group.create_task(run(WAITS, shared=False))
        await until(lambda: bool(box.jobs))
        second = group.create_task(run("second", shared=False))
        await run("beside", shared=True)
        assert box.ran == [WAITS, "beside"] and lease.state == "running"
        box.finish()
        await asyncio.gather(waiting, second)
        assert box.ran == [WAITS, "beside", "second"] and lease.state == "idle"


async def test_lost_variables_are_told_until_the_next_stateful_use_has_ended(open_: Open) -> None:
    async def told(lease, *, shared: bool = False) -> bool:
        async with lease.use(shared=shared):
            return lease.lost_state

    async with open_() as pools:
        pool = pools["code"]
        lease = await pool.acquire(user("ann"))
        assert not await told(lease)
        await pools["code"].release(lease.id)
        lease = await pool.acquire(user("ann"))
        assert [await told(lease, shared=True), await told(lease), await told(lease)] == [True, True, False]
        shared = await pool.acquire(user("bob"))
        await told(shared, shared=True)
        await pools["code"].release(shared.id)
        assert not (await pool.acquire(user("bob"))).lost_state, "what leaves no variables loses none"
    async with open_() as pools:
        assert await told(await pools["code"].acquire(user("ann"))), "over a restart, too"


async def test_skills_are_shown_and_changed_for_the_next_agent(open_: Open, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_text(name)
    async with open_() as pools:
        lease = await pools["code"].acquire(user("ann"), views={"skills": tmp_path / "one"})
        if not lease.box.slot.claim >= 0:
            pytest.skip("mounting needs root")
        shown = lease.box.slot.skills / "SKILL.md"
        assert shown.read_text() == "one"
        with pytest.raises(OSError, match="Read-only"):
            shown.write_text("mine")
        await pools["code"].acquire(user("ann"), views={"skills": tmp_path / "two"})
        assert shown.read_text() == "two"
        await pools["code"].acquire(user("ann"))
        assert shown.read_text() == "two"
        await pools["code"].acquire(user("ann"), views={})
        assert not shown.exists()


async def test_where_nothing_can_be_mounted_later_a_box_is_made_with_the_workspace_in_it(
    open_: Open, paper: PaperEngine, tmp_path: Path
) -> None:
    (tmp_path / "skills").mkdir()
    async with open_(mounting=False, min=3, max=2) as pools:
        pool = pools["code"]
        lease = await pool.acquire(user("ann"), views={"skills": tmp_path / "skills"})
        assert [(mount.source, mount.target, mount.receives) for mount in paper.specs[0].mounts[1:3]] == [
            (lease.workspace.path, "/workspace", False),
            (tmp_path / "skills", "/skills", False),
        ]
        assert pool.stats().warm_instances == 0 and lease.state == "leased"
        await asyncio.gather(*(pool.acquire(user(name)) for name in ("bob", "ann")))
        async with (await pool.acquire(user("ann"))).use() as link:
            await link.ping()
            cat = await pool.acquire(user("cat"))
        assert pool.find(user("bob")) is None and cat.alive, "bob's was idle, ann's was not"


class Gate:
    """An outlet that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    async def open(self, box_id: str, folder: Path) -> None:
        (folder / "proxy.sock").touch()
        self.told.append(("open", box_id))

    async def close(self, box_id: str) -> None:
        self.told.append(("close", box_id))


async def test_the_way_out_is_there_before_the_box_and_goes_with_it(open_: Open, paper: PaperEngine) -> None:
    gate = Gate()
    async with open_(outlet=gate) as pools:
        lease = await pools["code"].acquire(user("ann"))
        assert (lease.box.slot.control / "proxy.sock").exists()
        await pools["code"].release(lease.id)
    assert gate.told == [("open", lease.box.id), ("close", lease.box.id)]


async def test_modules_that_cannot_be_imported_ahead_are_told_once(open_: Open, paper: PaperEngine) -> None:
    paper.missing = ("numpyy",)
    with structlog.testing.capture_logs() as said:
        async with open_(min=2, preload=("numpyy",)) as pools:
            await warm(pools, 2)
    told = [entry["modules"] for entry in said if entry["event"] == "preload.missing"]
    assert told == [["numpyy"]]


async def test_a_pool_knows_nothing_of_what_runs_in_it(open_: Open, paper: PaperEngine, tmp_path: Path) -> None:
    tools = Mount(source=tmp_path, target="/tools")
    async with open_(min=1, preload=("numpy", "pandas"), mounts=[tools]) as pools:
        await warm(pools, 1)
        assert paper.specs[0].env["AGENTRT_PRELOAD"] == "numpy,pandas" and paper.specs[0].command == COMMAND
        assert [mount.target for mount in paper.specs[0].mounts] == [
            "/run/agentrt", "/workspace", "/skills", COMMAND[2], "/tools"
        ]  # fmt: skip
    paper.specs.clear()
    async with open_(min=1, command=("/opt/own/agent",)) as pools:
        await warm(pools, 1)
        assert paper.specs[0].command == ("/opt/own/agent",) and COMMAND[2] not in {m.target for m in paper.specs[0].mounts}
