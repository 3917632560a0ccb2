"""The pool with real boxes in it, on both engines."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentrt.bus import Bus, SandboxDied
from agentrt.containers import EngineUnavailable, Limits, SandboxGone
from agentrt.containers.engines import INSTANCE_LABEL, DockerEngine, Engine, Mount
from agentrt.containers.mounts import mount_points
from agentrt.containers.pool import Lease, Pools
from agentrt.containers.runner import Job
from fixtures.dockerd import can_start, own_dockerd
from fixtures.slots import mounted_below

from .conftest import Open, until, user, warm

pytestmark = pytest.mark.anyio

Real = Callable[..., AbstractAsyncContextManager[Pools]]


async def run(lease: Lease, code: str, mode: str = "kernel") -> str:
    """What the code printed."""
    said: list[bytes] = []
    async with lease.use(shared=mode != "kernel") as link:
        await link.run(Job(mode=mode, code=code), lambda stream, data: said.append(data))
    return b"".join(said).decode().strip()


async def test_two_users_work_side_by_side_and_see_nothing_of_each_other(real: Real) -> None:
    async with real(min=2) as pools:
        ann, bob = await asyncio.gather(*(pools["code"].acquire(user(name)) for name in ("ann", "bob")))
        await asyncio.gather(run(ann, "open('mine', 'w').write('ann'); x = 1"), run(bob, "open('mine', 'w').write('bob')"))
        assert await run(ann, "print(open('mine').read(), x)") == "ann 1"
        assert await run(bob, "print(open('mine').read(), 'x' in globals())") == "bob False"
        uids = [int(await run(lease, "id -u", "bash")) for lease in (ann, bob)]
        assert uids == [ann.box.slot.uid, bob.box.slot.uid] and len(set(uids)) == 2
        assert ann.workspace.tree.read("mine") == b"ann"
        assert "root" not in await run(ann, "ls -l mine", "bash")


async def test_nothing_of_a_user_is_in_the_box_that_the_next_one_gets(real: Real) -> None:
    async with real(max=1, min=1) as pools:
        ann = await pools["code"].acquire(user("ann"))
        await run(ann, "echo secret | tee /tmp/left /dev/shm/left left; (sleep 600 &)", "bash")
        await pools["code"].release(ann.id)
        bob = await pools["code"].acquire(user("bob"))
        assert bob.box.id != ann.box.id
        assert await run(bob, "cat /tmp/left /dev/shm/left left 2>/dev/null; ls -A /workspace /tmp; pgrep sleep", "bash") in (
            "/tmp:\n\n/workspace:",
            "/workspace:\n\n/tmp:",
        )
        again = await pools["code"].acquire(user("bob"))
        assert again is bob


async def test_files_outlive_the_box_and_variables_do_not_which_is_said(real: Real) -> None:
    async with real() as pools:
        lease = await pools["code"].acquire(user("ann"))
        await run(lease, "x = 1; open('kept', 'w').write('kept')")
        await pools["code"].release(lease.id)
        lease = await pools["code"].acquire(user("ann"))
        assert lease.lost_state and await run(lease, "print(open('kept').read(), 'x' in globals())") == "kept False"
        assert not lease.lost_state


async def test_a_paused_box_keeps_its_variables(real: Real) -> None:
    async with real(pause_after_s=0.1) as pools:
        lease = await pools["code"].acquire(user("ann"))
        await run(lease, "x = 41")
        await until(lambda: lease.state == "paused")
        assert await run(lease, "print(x + 1)") == "42" and lease.state == "idle"


async def test_a_box_whose_first_process_is_out_of_memory_says_so(real: Real) -> None:
    bus = Bus()
    with bus.subscribe(SandboxDied) as deaths:
        async with real(bus=bus, limits=Limits(memory_mb=64)) as pools:
            lease = await pools["code"].acquire(user("ann"))
            # files in memory belong to nobody: once they fill it, the limit ends one process after the other
            with pytest.raises(SandboxGone, match="its memory limit was reached"):
                for number in range(100):
                    await run(lease, f"cat /dev/zero > /dev/shm/{number} & cat /dev/zero > /tmp/{number}; wait", "bash")
            assert [death.reason for death in deaths.pending()] == ["oom"]
            assert await run(await pools["code"].acquire(user("ann")), "print(4)") == "4"


async def test_a_box_that_somebody_removed_behind_our_back_is_replaced(real: Real, engine: Engine) -> None:
    async with real() as pools:
        lease = await pools["code"].acquire(user("ann"))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_gone(run(lease, "import time; time.sleep(60)")))
            await until(lambda: lease.state == "running")
            await engine.remove(lease.box.id)
            await running
        assert await run(await pools["code"].acquire(user("ann")), "print(4)") == "4"


async def _gone(work) -> None:
    with pytest.raises(SandboxGone, match=r"is gone: (it was killed|its first process ended)"):
        await work


@pytest.mark.timeout(300)
async def test_fifty_sessions_on_eight_boxes(real: Real) -> None:
    async with real(min=2, max=8, queue_wait_s=240, within_s=280) as pools:

        async def session(number: int) -> None:
            lease = await pools["code"].acquire(user(f"user{number}"))
            assert await run(lease, f"open('n', 'w').write('{number}'); print(open('n').read())") == str(number)

        await asyncio.gather(*(session(number) for number in range(50)))
        assert pools["code"].stats().active_instances <= 8


async def test_ten_boxes_are_gone_once_the_pool_is(open_: Open, engine: Engine, sandbox_image: str) -> None:
    async with open_(engine, image=sandbox_image, min=10, max=10) as pools:
        await warm(pools, 10)
        lease = await pools["code"].acquire(user("ann"))
        await run(lease, "(sleep 600 &); exit 0", "bash")
    assert await engine.list({INSTANCE_LABEL: "instance1"}) == []


@pytest.mark.timeout(240)
async def test_an_engine_that_is_stopped_and_started_again(open_: Open, sandbox_images, docker_url: str) -> None:
    """The pool empties, says so, and is full again by itself; whoever ran something is told."""
    if not can_start():
        pytest.skip("a Docker daemon of one's own needs root and the package docker.io")
    with own_dockerd() as daemon:
        image = await _carried(sandbox_images("docker"), docker_url, daemon.url)
        async with DockerEngine(daemon.url) as engine, open_(engine, image=image, min=1, look_s=0.2, within_s=180) as pools:
            await warm(pools, 1)
            lease = await pools["code"].acquire(user("ann"))
            await run(lease, "open('kept', 'w').write('kept')")
            await asyncio.to_thread(daemon.stop)
            with pytest.raises(SandboxGone, match=r"the container engine stopped|it was killed"):
                await run(lease, "print(1)")
            with pytest.raises(EngineUnavailable):
                await pools["code"].acquire(user("bob"))
            await until(lambda: bool(pools.engine_error))
            await asyncio.to_thread(daemon.start)
            await warm(pools, 1)
            assert pools.engine_error == "" and pools["code"].trouble == ""
            assert await run(await pools["code"].acquire(user("ann")), "print(open('kept').read())") == "kept"


async def _carried(image: str, source: str, target: str) -> str:
    """The image, in another daemon."""
    command = f"docker -H {source} save {image} | docker -H {target} load"
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return image


async def test_the_operators_folders_are_seen_and_not_where_they_are(real: Real, tmp_path: Path) -> None:
    folder = tmp_path / "secret-plans" / "tools"
    folder.mkdir(parents=True)
    (folder / "tool.sh").write_text("#!/bin/sh\necho first")
    (folder / "tool.sh").chmod(0o755)
    async with real(min=0, mounts=(Mount(source=folder, target="/tools"),)) as pools:
        ann = await pools["code"].acquire(user("ann"))
        assert await run(ann, "/tools/tool.sh; touch /tools/x 2>/dev/null || echo no", "bash") == "first\nno"
        said = await run(ann, "cat /proc/self/mountinfo /proc/mounts; df /tools", "bash")
        assert " /tools " in said and "secret-plans" not in said and str(tmp_path) not in said.replace(f"{tmp_path}/run/", "")
        (folder / "new").write_text("#!/bin/sh\necho second")
        (folder / "new").chmod(0o755)
        (folder / "new").replace(folder / "tool.sh")
        bob = await pools["code"].acquire(user("bob"))
        assert await run(bob, "/tools/tool.sh", "bash") == "second", "a box sees what is there when it starts"
        assert [point.path for point in mount_points() if "/lent/" in point.path] == []
    assert mounted_below(tmp_path / "run") == []
