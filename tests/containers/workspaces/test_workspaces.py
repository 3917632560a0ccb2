"""Workspaces: made, shown in slots, kept within bounds, and found again after anything."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentrt.containers.mounts import mount_points
from agentrt.containers.workspaces import About, Holder, Size, Workspaces, slots, umount_stale
from agentrt.kernel import Conflict, NotFound, TooLarge, Unavailable
from fixtures.slots import UID, a_slot, as_user, mounted_below

pytestmark = pytest.mark.anyio
Open = Callable[..., AbstractAsyncContextManager[Workspaces]]
ANNA, BERT = Holder(user="anna"), Holder(user="bert")


async def test_a_holder_gets_the_same_workspace_again_and_nobody_else_does(open_: Open) -> None:
    async with open_() as workspaces:
        first = await workspaces.open(ANNA)
        first.tree.write("a.txt", b"anna")
        assert await workspaces.open(ANNA) is first
        other = await workspaces.open(BERT)
        assert other.id != first.id and other.tree.list().entries == ()
    async with open_() as workspaces:
        again = await workspaces.open(ANNA)
        assert again.id == first.id and again.tree.read("a.txt") == b"anna"


@pytest.mark.parametrize("change", [{"tenant": "t"}, {"user": "u"}, {"session": "s"}, {"pool": "p"}, {"user": "anna\0"}])
async def test_whatever_is_different_of_a_holder_makes_another_workspace(open_: Open, change: dict[str, str]) -> None:
    async with open_() as workspaces:
        assert workspaces.id_of(Holder(**{"user": "anna"} | change)) != workspaces.id_of(ANNA)


async def test_no_name_tells_whose_a_workspace_is(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(Holder(tenant="acme", user="anna", session="secret-plan"))
        assert not any(word in str(workspace.path.relative_to(home)) for word in ("acme", "anna", "secret"))


async def test_code_owns_what_is_in_its_slot_and_on_disk_all_has_one_owner(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("from/outside.txt", b"hello")
        await workspaces.prepare(UID)
        await workspace.attach(slot := a_slot(home), UID)
        done = as_user("cat from/outside.txt && echo more >> from/outside.txt && echo mine > inside.txt && stat -c %u . *", slot)
        assert (done.stdout, done.stderr) == (f"hello{UID}\n{UID}\n{UID}\n", "")
        assert workspace.tree.read("from/outside.txt") == b"hellomore\n"
        assert {os.stat(path).st_uid for path in (workspace.path, *workspace.path.rglob("*"))} == {10001}
        assert as_user("cat from/outside.txt; echo x > from/outside.txt", slot, uid=UID + 1).returncode != 0
        await workspace.detach(slot)
        assert os.listdir(slot) == []
        await workspace.attach(slot, UID + 7)
        assert as_user("cat inside.txt; echo x > inside.txt", slot, uid=UID + 7).stdout == "mine\n"


async def test_neither_setuid_nor_devices_work_in_a_slot(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        await workspace.attach(slot := a_slot(home), UID)
        options = as_user(f"grep ' {slot} ' /proc/self/mountinfo", slot).stdout
        assert "nosuid" in options and "nodev" in options and str(home / "ws") not in options
        os.mknod(workspace.path / "null", 0o20666, os.makedev(1, 3))
        assert "Permission denied" in as_user("echo x > null", slot).stderr


async def test_two_boxes_of_one_user_share_a_workspace(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        one, two = a_slot(home, "one"), a_slot(home, "two")
        await workspace.attach(one, UID)
        await workspace.attach(two, UID + 1)
        as_user("echo hello > a.txt", one)
        assert as_user("cat a.txt; echo two > a.txt", two, uid=UID + 1).stdout == "hello\n"
        await workspace.detach(one)
        assert as_user("cat a.txt", two, uid=UID + 1).stdout == "two\n"


async def test_a_kernel_that_maps_no_owners_gets_them_changed_for_one_box_at_a_time(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("a/b.txt", b"x")
        workspaces.maps_owners = False
        one, two = a_slot(home, "one"), a_slot(home, "two")
        await workspace.attach(one, UID)
        workspace.tree.write("from/outside.txt", b"hello")
        assert as_user("cat a/b.txt; echo y > a/b.txt; echo z >> from/outside.txt", one).stderr == ""
        with pytest.raises(Conflict):
            await workspace.attach(two, UID + 1)
        await workspace.detach(one)
        assert {os.lstat(path).st_uid for path in workspace.path.rglob("*")} == {10001}
        await workspace.attach(two, UID + 1)
        assert as_user("cat a/b.txt", two, uid=UID + 1).stdout == "y\n"


async def test_what_was_made_without_root_is_a_plain_folder_for_root_too(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        plain = workspaces.id_of(ANNA)
    files = home / "ws" / plain / "files"
    files.mkdir(parents=True)
    (files / "a.txt").write_text("kept")
    os.chown(files, 10001, 10001)
    about = About(id=plain, holder=ANNA, disk_mb=8, inodes=64, made_at=0)
    (files.parent / "about.json").write_bytes(msgspec.json.encode(about))
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        await workspace.attach(slot := a_slot(home), UID)
        assert not workspace.is_volume and as_user("cat a.txt; echo x > b.txt", slot).stdout == "kept"
        assert os.stat(files / "b.txt").st_uid == 10001 and workspace.tree.usage().bytes == 8 * 2**20


async def test_a_full_disk_and_too_many_files_fail_inside_and_break_nothing_else(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace, other = await workspaces.open(ANNA), await workspaces.open(BERT)
        await workspace.attach(slot := a_slot(home), UID)
        done = as_user("head -c 100M /dev/zero > big; rm big; i=0; while echo > f$i; do i=$((i+1)); done; ls | wc -l", slot)
        assert done.stderr.count("No space left on device") == 2 and 480 < int(done.stdout) < 520
        usage = workspace.tree.usage()
        assert 500 <= usage.inodes == usage.used_inodes < 520 and 16 <= usage.bytes / 2**20 < 18
        with pytest.raises(TooLarge) as full:
            workspace.tree.write("one-more", b"x")
        assert full.value.code == "workspace_full" and full.value.message == "no space left in this workspace"
        other.tree.write("a", b"x")
        as_user("rm -f f*; echo again > a", slot)
        assert workspace.tree.read("a") == b"again\n"


async def test_a_volume_takes_of_the_disk_what_is_in_it(open_: Open) -> None:
    async with open_(disk_mb=4096, inodes=100_000) as workspaces:
        workspace = await workspaces.open(ANNA)
        assert workspace.tree.usage().bytes > 4096 * 2**20 * 0.98 and workspace.tree.usage().inodes >= 100_000
        assert (workspace.path.parent / "volume.img").stat().st_blocks * 512 < 8 * 2**20


async def test_the_smallest_workspace_holds_what_it_promises(open_: Open) -> None:
    async with open_(disk_mb=8, inodes=64) as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("a", bytes(8 * 2**20 - 65536))
        assert workspace.tree.usage().inodes >= 64


@pytest.mark.parametrize(("disk_mb", "inodes"), [(8, 100_000), (16, 65_536), (64, 64), (100, 1_000_000)])
async def test_a_workspace_is_as_large_as_it_says_however_many_files_it_may_hold(open_: Open, disk_mb: int, inodes: int) -> None:
    async with open_(disk_mb=disk_mb, inodes=inodes) as workspaces:
        usage = (await workspaces.open(ANNA)).tree.usage()
        assert disk_mb <= usage.bytes / 2**20 < disk_mb * 1.05 + 2
        assert min(inodes, disk_mb * 200) <= usage.inodes < inodes + 100


async def test_each_pool_s_workspaces_have_the_size_it_asks_for_and_one_may_have_its_own(open_: Open) -> None:
    async with open_(sizes={"big": Size(64, 2000)}) as workspaces:
        await workspaces.make(BERT, 32, 1000)
        with pytest.raises(Conflict):
            await workspaces.make(BERT, 32, 1000)
        assert (await workspaces.open(BERT)).tree.usage().bytes >> 20 == 32
        for _ in range(2):
            big = await workspaces.open(Holder(user="anna", pool="big"))
            small = await workspaces.open(ANNA)
            assert (big.tree.usage().bytes >> 20, small.tree.usage().bytes >> 20) == (64, 16)
            for workspace, holder in ((big, Holder(user="anna", pool="big")), (small, ANNA)):
                await workspace.close()
                await workspaces.forget(holder)


async def test_a_workspace_in_use_cannot_be_forgotten_and_one_that_is_not_can(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("a", b"x")
        with pytest.raises(Conflict):
            await workspaces.forget(ANNA)
        await workspace.close()
        await workspaces.forget(ANNA)
        assert not workspace.path.parent.exists() and not await workspaces.find(ANNA)
        with pytest.raises(NotFound):
            await workspaces.forget(ANNA)
        assert (await workspaces.open(ANNA)).tree.list().entries == ()


async def test_what_nobody_used_for_long_is_removed_and_the_rest_stays(open_: Open) -> None:
    async with open_(keep_s=1000) as workspaces:
        for holder in (ANNA, BERT):
            workspace = await workspaces.open(holder)
            workspace.tree.write("a", b"x")
            if holder is ANNA:
                await workspace.close()
            os.utime(workspace.path.parent / "about.json", (time.time() - 2000,) * 2)
        await workspaces.collect()
        assert [about.holder for about in await workspaces.all()] == [BERT]
        assert await workspaces.find(BERT) and not await workspaces.find(ANNA)


async def test_many_at_once_each_get_their_own(open_: Open) -> None:
    async with open_() as workspaces:
        found = await asyncio.gather(*(workspaces.open(Holder(user=f"u{n % 10}")) for n in range(40)))
        assert len({workspace.id for workspace in found}) == 10 and len(set(map(id, found))) == 10
        for workspace in found[:10]:
            workspace.tree.write("whose", workspace.id.encode())
        assert all(workspace.tree.read("whose").decode() == workspace.id for workspace in found)


async def test_leaving_unmounts_everything(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        await workspace.attach(a_slot(home), UID)
        assert len(mounted_below(home / "ws")) >= 1 and len(mounted_below(home / "run")) >= 1
    assert mounted_below(home / "ws") == [] and mounted_below(home / "run/slots") == []
    assert sorted(path.name[:4] for path in (home / "ws").iterdir()) == sorted(["salt", workspace.id[:4]])


@contextmanager
def a_namespace(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with mounts of its own that holds a slot, as a box does: it answers each line of shell with what that says."""
    program = 'mount --bind run/slots/box/workspace seen; while read -r line; do sh -c "$line" 2>&1; echo .; done'
    (home / "seen").mkdir()
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", program]
    with subprocess.Popen(command, cwd=home, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        yield process
        process.stdin.close()


def says(process: subprocess.Popen[str], line: str) -> list[str]:
    assert process.stdin and process.stdout
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return [said.rstrip("\n") for said in iter(process.stdout.readline, ".\n")]


async def test_a_box_that_runs_already_sees_a_workspace_come_and_go(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace = await workspaces.open(ANNA)
        workspace.tree.write("a.txt", b"x")
        slot = a_slot(home)
        with a_namespace(home) as box:
            assert says(box, "ls seen") == []
            await workspace.attach(slot, UID)
            assert says(box, "ls seen") == ["a.txt"]
            await workspace.detach(slot)
            assert says(box, "ls seen") == []


async def test_a_known_workspace_is_attached_without_waiting_for_a_thread_or_a_process(open_: Open, home: Path) -> None:
    async with open_() as workspaces:
        workspace, slot = await workspaces.open(ANNA), a_slot(home)
        if not workspaces.maps_owners:
            pytest.skip("needs mounts that map owners")
        await workspaces.prepare(UID)
        assert at_once(workspaces.open(ANNA)) is workspace
        at_once(workspace.attach(slot, UID))
        at_once(workspace.detach(slot))


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of it, where it never gives way to anything else."""
    with pytest.raises(StopIteration) as over:
        work.send(None)
    return over.value.value


async def test_a_folder_that_cannot_be_made_is_one_sentence(home: Path) -> None:
    (home / "ws").write_text("a file where the folder should be")
    with pytest.raises(Unavailable) as refused:
        async with Workspaces(home / "ws", home / "run"):
            pass
    assert str(home) not in refused.value.message


def test_slots_can_be_made_ready_more_than_once(home: Path) -> None:
    assert slots(home / "run") == slots(home / "run") == home / "run/slots"
    assert [point.shared for point in mount_points() if point.path == str(home / "run/slots")] == [True]
    assert (umount_stale(home / "run"), umount_stale(home / "run")) == (1, 0)
