"""Workspaces outlive the server, however it ends, and what is damaged is mended or said."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentrt.containers.mounts import bind, mount_points, unmount
from agentrt.containers.workspaces import Holder, Workspaces, umount_stale
from agentrt.kernel import Unavailable
from fixtures.slots import UID, a_slot, as_user, mounted_below

pytestmark = pytest.mark.anyio
Open = Callable[..., AbstractAsyncContextManager[Workspaces]]
ANNA, BERT = Holder(user="anna"), Holder(user="bert")


async def test_what_is_remembered_survives(open_: Open) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        assert not workspace.note.had_state
        workspace.note.remember_state()
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        assert workspace.note.had_state
        (workspace.path.parent / "note.json").write_text("cut o")
    async with open_() as workspaces:
        assert not (await workspaces.open(ANNA)).note.had_state


def devices_at(path: Path) -> list[str]:
    return [point.source for point in mount_points() if point.path == str(path)]


async def test_a_workspace_that_a_box_still_holds_can_be_opened_by_the_next_server(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("log", b"inside")
        device = devices_at(workspace.path)
        file = (workspace.path / "log").open("rb")
    with file:
        async with open_() as workspaces:
            again = await workspaces.open(ANNA)
            assert again.tree.read("log") == b"inside"
            assert devices_at(again.path) == device, "two devices over one image would destroy it"


def a_server_dies(home: Path, program: str = "killed.py") -> None:
    program = str(Path(__file__).with_name(program))
    with subprocess.Popen([sys.executable, program, str(home)], stdout=subprocess.PIPE) as server:
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        server.send_signal(signal.SIGKILL)


async def test_after_kill_9_everything_is_found_again_and_nothing_stale_stays(open_: Open, home: Path) -> None:
    a_server_dies(home)
    assert mounted_below(home / "run/slots") and mounted_below(home / "ws") and list((home / "ws").glob("new-*"))
    theirs = home / "other"
    theirs.mkdir()
    bind(home, theirs)
    assert umount_stale(home / "run") == 2
    assert mounted_below(home / "run") == []
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        assert workspace.tree.read("kept.txt") == b"kept" and workspace.note.had_state
        await workspace.attach(a_slot(home), UID)
        assert as_user("cat kept.txt", a_slot(home)).stdout == "kept"
    assert unmount(theirs), "what is mounted elsewhere is not ours to unmount"
    assert not list((home / "ws").glob("new-*"))


async def test_what_was_written_by_half_when_it_was_killed_is_gone(open_: Open, home: Path) -> None:
    a_server_dies(home, "killed_writing.py")
    (files,) = (home / "ws").glob("*/about.json")
    assert {path.name[:14] for path in (files.parent / "files").iterdir()} == {".agentrt-part-", "in"}
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        assert os.listdir(workspace.path) == ["in"] and os.listdir(workspace.path / "in") == ["kept.txt"]


def has_errors(image: Path) -> None:
    """As the kernel leaves a file system in which it found an error."""
    subprocess.run(["debugfs", "-w", "-R", "ssv state 2", str(image)], check=True, capture_output=True)
    assert image.read_bytes()[1024 + 0x3A] == 2


async def test_damage_is_mended_or_said(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("a", b"kept")
    image = workspace.path.parent / "volume.img"
    has_errors(image)
    async with open_() as workspaces:
        assert (await workspaces.open(ANNA)).tree.read("a") == b"kept"
    with image.open("r+b") as file:
        file.write(bytes(8 * 2**20))
    async with open_() as workspaces:
        with pytest.raises(Unavailable) as damaged:
            await workspaces.open(ANNA)
        assert damaged.value.code == "workspace_damaged" and str(home) not in damaged.value.message
        (await workspaces.open(BERT)).tree.write("a", b"x")
        await workspaces.forget(ANNA)
        (await workspaces.open(ANNA)).tree.write("a", b"x")


PLAIN = """
import asyncio, sys
from pathlib import Path
from agentrt.containers.workspaces import Holder, Workspaces
from agentrt.kernel import TooLarge
async def main(home):
    async with Workspaces(home / "ws", home / "run", disk_mb=8, inodes=64) as workspaces:
        workspace = await workspaces.open(Holder(user="anna"))
        workspace.tree.write("a/b", bytes(9 << 20))
        await workspace.measure()
        try:
            workspace.tree.write("c", b"")
        except TooLarge as full:
            print(full.code)
        print(workspaces.can_mount, workspace.is_volume, workspace.outgrown, workspace.tree.usage().inodes)
        workspace.tree.delete("a", recursive=True)
        await workspace.measure()
        print(workspace.outgrown)
        await workspace.close()
        await workspaces.forget(Holder(user="anna"))
        print(await workspaces.find(Holder(user="anna")))
asyncio.run(main(Path(sys.argv[1])))
"""


def test_who_may_not_mount_gets_plain_folders_that_are_measured() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o777)
        who = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*who, sys.executable, "-c", PLAIN, str(folder)]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout, done.stderr) == ("workspace_full\nFalse False True 64\nFalse\nFalse\n", "")
    finally:
        shutil.rmtree(folder)
