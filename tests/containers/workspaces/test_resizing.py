"""A workspace follows the limits of its pool, as far as what is in it lets it, and loses nothing of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import msgspec
import pytest
import structlog

from agentrt.containers.workspaces import About, Holder, Size, Workspace, Workspaces
from agentrt.kernel import Unavailable
from fixtures.slots import UID, a_slot, as_user, mounted_below

pytestmark = pytest.mark.anyio
Open = Callable[..., AbstractAsyncContextManager[Workspaces]]
ANNA = Holder(user="anna")
MIB = 2**20


def sized(disk_mb: int, inodes: int) -> dict[str, dict[str, Size]]:
    return {"sizes": {"code": Size(disk_mb, inodes)}}


def is_of(workspace: Workspace, disk_mb: int, inodes: int = 0) -> bool:
    """Whether it may hold so many MiB and, where they are told, so many files; and hardly more."""
    usage = workspace.tree.usage()
    return disk_mb <= usage.bytes / MIB < disk_mb + 3 and (not inodes or inodes <= usage.inodes < inodes + 100)


FILL = """
mkdir -p a/b; echo deep > a/b/c; chmod 640 a/b/c; ln a/b/c hard; ln -s a/b soft; mkfifo pipe; truncate -s 1G holes
python3 -c 'import os; os.setxattr("a/b/c", "user.note", b"kept"); os.utime("a/b/c", (1, 2)); open(b"a/\\xff", "w").close()'
head -c 3M /dev/urandom > big; chmod 500 a
"""
LOOK = """
find . -printf '%p %y %m %n %s %T@ %U %l\\n' | grep -v '^. d' | sort; cat a/b/c; sha256sum big
python3 -c 'import os; print(os.getxattr("hard", "user.note"))'
"""


@pytest.mark.parametrize(("disk_mb", "inodes"), [(64, 500), (16, 4000), (64, 4000), (12, 300), (8, 1000)])
async def test_everything_moves_into_one_of_another_size(open_: Open, home: Path, disk_mb: int, inodes: int) -> None:
    async with open_(**sized(16, 500)) as workspaces:
        workspace = await workspaces.open(ANNA)
        await workspace.attach(slot := a_slot(home), UID)
        assert as_user(FILL, slot).stderr == ""
        before = as_user(LOOK, slot).stdout
        assert "deep" in before and "b'kept'" in before
    for _ in range(2):
        async with open_(**sized(disk_mb, inodes)) as workspaces:
            workspace = await workspaces.open(ANNA)
            (about,) = await workspaces.all()
            assert (about.disk_mb, about.inodes) == (disk_mb, inodes)
            assert is_of(workspace, disk_mb, inodes)
            await workspace.attach(a_slot(home), UID)
            assert as_user(LOOK, a_slot(home)).stdout == before
            assert as_user("echo more > new && cat new && rm new", a_slot(home)).stdout == "more\n"
    assert sorted(path.name[:4] for path in (home / "ws").iterdir()) == sorted(["salt", workspace.id[:4]])


async def test_what_holds_too_much_keeps_its_size_and_the_log_says_so(open_: Open) -> None:
    async with open_(**sized(32, 500)) as workspaces:
        (await workspaces.open(ANNA)).tree.write("big", bytes(range(256)) * 80_000)
    with structlog.testing.capture_logs() as said:
        async with open_(**sized(16, 500)) as workspaces:
            workspace = await workspaces.open(ANNA)
            assert is_of(workspace, 32) and workspace.tree.read("big") == bytes(range(256)) * 80_000
            workspace.tree.write("more", b"more")
    (kept,) = [line for line in said if line["event"] == "workspace.size_kept"]
    assert (kept["disk_mb"], kept["reason"]) == ([32, 16], "too much is in it")
    async with open_(**sized(16, 500)) as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.delete("big")
    async with open_(**sized(16, 500)) as workspaces:
        workspace = await workspaces.open(ANNA)
        assert is_of(workspace, 16) and workspace.tree.read("more") == b"more"


async def test_a_size_of_its_own_stays(open_: Open) -> None:
    vm = Holder(user="anna", session="vm", pool="vms")
    async with open_(**sized(16, 500)) as workspaces:
        await workspaces.make(vm, 8, 100)
    async with open_(disk_mb=32, **sized(64, 500)) as workspaces:
        assert is_of(await workspaces.open(vm), 8)


async def test_a_plain_folder_has_the_limits_of_its_pool(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        plain = home / "ws" / workspaces.id_of(ANNA)
    (plain / "files").mkdir(parents=True)
    about = About(id=plain.name, holder=ANNA, disk_mb=8, inodes=64, made_at=0)
    (plain / "about.json").write_bytes(msgspec.json.encode(about))
    async with open_(**sized(32, 500)) as workspaces:
        usage = (await workspaces.open(ANNA)).tree.usage()
        assert (usage.bytes, usage.inodes) == (32 * MIB, 500)


async def test_what_is_written_down_of_one_may_be_lost_and_its_files_open(open_: Open) -> None:
    async with open_(**sized(16, 500)) as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("a", b"x")
    (workspace.path.parent / "about.json").write_bytes(b"")
    async with open_(**sized(32, 500)) as workspaces:
        assert (await workspaces.open(ANNA)).tree.read("a") == b"x"


async def test_one_that_somebody_still_holds_is_left_as_it_is(open_: Open, home: Path) -> None:
    async with open_(**sized(16, 500)) as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("log", b"inside")
        held = (workspace.path / "log").open("r+b")
    with held, structlog.testing.capture_logs() as said:
        async with open_(**sized(32, 500)) as workspaces:
            assert is_of(await workspaces.open(ANNA), 16)
    assert [line["reason"] for line in said if line["event"] == "workspace.size_kept"] == ["somebody still holds it"]
    async with open_(**sized(32, 500)) as workspaces:
        workspace = await workspaces.open(ANNA)
        assert is_of(workspace, 32) and workspace.tree.read("log") == b"inside"


GROWING = """
import asyncio, sys
from pathlib import Path
from agentrt.containers.workspaces import Holder, Size, Workspaces
async def main(home):
    async with Workspaces(home / "ws", home / "run", disk_mb=16, inodes=500, sizes={"code": Size(200, 4000)}) as workspaces:
        print("ready", flush=True)
        await workspaces.open(Holder(user="anna"))
        print("opened", flush=True)
        await asyncio.Event().wait()
asyncio.run(main(Path(sys.argv[1])))
"""


def a_growing_server_dies(home: Path, when: Callable[[], bool]) -> None:
    with subprocess.Popen([sys.executable, "-c", GROWING, str(home)], stdout=subprocess.PIPE) as server:
        assert server.stdout and server.stdout.readline() == b"ready\n"
        while not when():
            pass
        server.send_signal(signal.SIGKILL)


async def test_killed_at_any_moment_nothing_is_lost(open_: Open, home: Path) -> None:
    content = os.urandom(MIB)
    async with open_(**sized(64, 4000)) as workspaces:
        workspace = await workspaces.open(ANNA)
        for n in range(20):
            workspace.tree.write(f"{n}.bin", content)
    image = workspace.path.parent / "volume.img"
    for made in (0, 1, 5 * MIB, 15 * MIB):  # bytes that the new volume takes when the server dies
        a_growing_server_dies(home, lambda made=made: taken(home) >= made or image.stat().st_size > 100 * MIB)
        async with open_() as workspaces:
            workspace = await workspaces.open(ANNA)
            assert is_of(workspace, 64) or is_of(workspace, 200)
            assert all(workspace.tree.read(f"{n}.bin") == content for n in range(20))
            assert len(workspace.tree.list().entries) == 20
    assert mounted_below(home / "ws") == []


def taken(home: Path) -> int:
    """Bytes on disk of the volume that the files are being copied into: the blank one that is made beside the first ones."""
    sizes = [0]
    for image in (home / "ws").glob("new-*/volume.img"):
        with suppress(FileNotFoundError):
            sizes.append(image.stat().st_blocks * 512 if image.stat().st_size > 100 * MIB else 0)
    return max(sizes)


async def test_where_the_disk_is_nearly_full_no_new_one_is_made_and_old_ones_open(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        (await workspaces.open(ANNA)).tree.write("a", b"x")
        assert workspaces.trouble == ""
    more_than_there_is = os.statvfs(home).f_bavail * os.statvfs(home).f_frsize // MIB + 10_000
    async with open_(keep_free_mb=more_than_there_is) as workspaces:
        assert (await workspaces.open(ANNA)).tree.read("a") == b"x"
        for new in (workspaces.open(Holder(user="bert")), workspaces.make(Holder(user="carl"), 8, 100)):
            with pytest.raises(Unavailable) as refused:
                await new
            assert refused.value.code == "disk_full" and f"less than {more_than_there_is} MiB free" in refused.value.message
        assert workspaces.trouble == refused.value.message
