"""What is left over: from an earlier start, and at the end."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from agentrt.containers import EngineUnavailable
from agentrt.containers.engines import INSTANCE_LABEL
from agentrt.containers.pool import instance_id, reconcile
from agentrt.containers.runner import Job
from fixtures.paper_engine import WAITS, PaperEngine

from .conftest import Open, until, user, warm

pytestmark = pytest.mark.anyio


async def test_a_start_removes_what_is_its_own_and_leaves_others_alone(home: Path, paper: PaperEngine) -> None:
    instances = {"mine0000": "one", "mine1111": "one", "theirs00": "two"}
    paper.strangers = {box_id: {INSTANCE_LABEL: instance} for box_id, instance in instances.items()}
    for folder in ("mine0000/ctl", "slots/mine0000/workspace", "forgotten/ctl", "slots/forgotten/skills"):
        (home / "run" / folder).mkdir(parents=True)
    (home / "run/mine0000/ctl/proxy.sock").touch()
    assert await reconcile(paper, home / "run", "one", can_mount=False) == 2
    assert list(paper.strangers) == ["theirs00"]
    assert os.listdir(home / "run") == ["slots"] and os.listdir(home / "run/slots") == []


async def test_a_folder_that_something_is_mounted_on_is_never_looked_into(home: Path, paper: PaperEngine) -> None:
    """What lies where a workspace was shown may be somebody's: only empty folders are removed."""
    precious = home / "run/slots/box00000/workspace/precious"
    precious.mkdir(parents=True)
    await reconcile(paper, home / "run", "one", can_mount=False)
    assert precious.is_dir()


async def test_no_box_is_started_before_the_old_ones_are_gone(open_: Open, paper: PaperEngine) -> None:
    paper.strangers = {"old00000": {INSTANCE_LABEL: "instance1"}}
    paper.keeps = True
    async with open_(min=1, look_s=0.02) as pools:
        await paper.until(lambda: paper.count["remove"] > 1)
        assert paper.count["start"] == 0 and "keeps it" in pools.engine_error
        with pytest.raises(EngineUnavailable, match="keeps it"):
            await pools["code"].acquire(user("ann"))
        paper.keeps = False
        await warm(pools, 1)
        assert paper.removed == ["old00000"] and pools.engine_error == ""


async def test_ten_boxes_are_removed_together_at_the_end(open_: Open, paper: PaperEngine) -> None:
    async with open_(min=4, max=10) as pools, asyncio.TaskGroup() as group:
        leases = [await pools["code"].acquire(user(f"user{number}")) for number in range(6)]
        await warm(pools, 4)

        async def run(lease) -> None:
            with pytest.raises(Exception, match="the server is stopping"):
                async with lease.use() as link:
                    await link.run(Job(mode="python", code=WAITS), lambda stream, data: None)

        for lease in leases[:3]:
            group.create_task(run(lease))
        await asyncio.gather(*(_becomes(lease, "running") for lease in leases[:3]))
        paper.removing.clear()
        group.create_task(_let_all_go(paper))
        await asyncio.sleep(0)
        await pools.__aexit__(None, None, None)
        assert paper.boxes == {}


async def _becomes(lease, state: str) -> None:
    await until(lambda: lease.state == state)


async def _let_all_go(paper: PaperEngine) -> None:
    """The last removal must have begun before the first one ends."""
    await paper.until(lambda: paper.count["remove"] == 10)
    paper.removing.set()


async def test_closing_while_the_engine_starts_boxes_leaves_none(open_: Open, paper: PaperEngine) -> None:
    """What the engine has begun is let finish, or it would be there after its removal."""
    paper.ready.clear()
    async with open_(min=3):
        await paper.until(lambda: paper.count["start"] == 2)
        asyncio.get_running_loop().call_later(0.05, paper.ready.set)
    assert paper.boxes == {} and paper.count["started"] == 2


async def test_closing_while_first_words_are_waited_for_leaves_none(open_: Open, paper: PaperEngine) -> None:
    paper.silent = True
    async with open_(min=3):
        await paper.until(lambda: paper.count["started"] == 2)
    assert paper.boxes == {}


async def test_an_engine_that_hangs_does_not_hold_up_the_end(open_: Open, paper: PaperEngine) -> None:
    paper.ready.clear()
    async with open_(min=3, clean=False):
        await paper.until(lambda: paper.count["start"] == 2)


async def test_the_name_of_a_server_is_made_once(tmp_path: Path) -> None:
    name = instance_id(tmp_path / "data")
    assert instance_id(tmp_path / "data") == name != instance_id(tmp_path / "other")
    (tmp_path / "data/instance").write_text("../../etc")
    assert instance_id(tmp_path / "data").isalnum()
    assert os.listdir(tmp_path / "data") == ["instance"]


async def test_folders_are_for_nobody_else_and_tell_no_names(open_: Open, home: Path) -> None:
    async with open_() as pools:
        lease = await pools["code"].acquire(user("ann"))
        assert stat.S_IMODE((home / "run/one").stat().st_mode) == 0o700
        assert "ann" not in str(lease.box.slot) and "ann" not in str(lease.workspace.path)
