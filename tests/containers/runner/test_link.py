"""How a runner and its host come together."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from agentrt.containers import SandboxGone
from agentrt.containers.runner import COMMAND, RUNNER, Dock, Job, RunnerLink
from agentrt.kernel import TimedOut, Unavailable

from .conftest import Desk, Open, dial

pytestmark = pytest.mark.anyio


async def anybody(pid: int) -> bool:
    return True


def knock(folder: Path) -> socket.socket:
    visitor = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    visitor.connect(str(folder / "c.sock"))
    return visitor


async def test_the_runner_dials_home_and_the_socket_is_gone(room: Path) -> None:
    async with Dock(room) as dock:
        assert (room / "c.sock").is_socket()
        process = dial(room, sys.executable)

        async def owns(pid: int) -> bool:
            return pid == process.pid

        link = await dock.link(owns, 10)
        assert os.listdir(room) == []
        await link.ping()
        link.close()
        assert await asyncio.to_thread(process.wait, 5) == 0
    assert link.lost.is_set()


async def test_whoever_is_not_of_the_box_is_hung_up_on(room: Path) -> None:
    asked = []

    async def owns(pid: int) -> bool:
        asked.append(pid)
        return pid != os.getpid()

    async with Dock(room) as dock:
        with knock(room) as stranger:
            process = dial(room, sys.executable)
            link = await dock.link(owns, 10)
            assert stranger.recv(10) == b""
        assert asked == [os.getpid(), process.pid]
        link.close()
        await asyncio.to_thread(process.wait, 5)


async def test_a_runner_that_does_not_come_is_not_waited_for(room: Path) -> None:
    async with Dock(room) as dock:
        with pytest.raises(TimedOut, match="did not answer in time"):
            await dock.link(anybody, 0.05)
        assert os.listdir(room) == []


async def test_one_that_says_nothing_or_nonsense_is_no_runner(room: Path) -> None:
    async with Dock(room) as dock:
        with knock(room), pytest.raises(TimedOut):
            await dock.link(anybody, 0.05)
    async with Dock(room) as dock:
        with knock(room) as visitor:
            visitor.send(b"hello?")
            with pytest.raises(Unavailable, match="does not speak"):
                await dock.link(anybody, 5)


async def test_a_runner_that_turns_to_nonsense_is_hung_up_on(room: Path) -> None:
    async with Dock(room) as dock:
        with knock(room) as visitor:
            visitor.send(b'{"id": 0}')
            link = await dock.link(anybody, 5)
            visitor.send(b"\xff")
            await asyncio.wait_for(link.lost.wait(), 20)
            with pytest.raises(SandboxGone):
                await link.dial(80)


async def test_a_box_whose_runner_does_not_end_a_job_is_given_up(room: Path) -> None:
    async with Dock(room) as dock:
        with knock(room) as visitor:
            visitor.send(b'{"id": 0}')
            link = await dock.link(anybody, 5)
            outcome = await link.run(Job(mode="bash", code="true", wall_s=0.05), lambda stream, data: None)
            assert (outcome.ended, outcome.exit_code, outcome.state_lost) == ("wall", -9, True)
            assert link.lost.is_set()


async def test_a_link_leaves_no_descriptor_behind(open_process: Open) -> None:
    async with open_process() as desk:
        await desk.bash("true")
        before = os.listdir("/proc/self/fd")
        for mode in ("kernel", "python", "bash"):
            await desk.run(mode, "1", stdin=b"x")
            await desk.run(mode, f"# {'y' * 1_000_000}")
            await desk.bash("yes", output_bytes=1000)
            (await desk.begun("bash", "echo on; sleep 60")).cancel()
        desk.link.close()
        assert len(os.listdir("/proc/self/fd")) < len(before)
        assert (await desk.bash("true")).outcome.ended == "box"


async def test_answers_that_nobody_asked_for_are_ignored(room: Path) -> None:
    async with Dock(room) as dock:
        with knock(room) as visitor:
            visitor.send(b'{"id": 0}')
            link = await dock.link(anybody, 5)
            visitor.send(b'{"id": 99, "exit": 3}')
            visitor.send(b'{"id": 1, "more": "x"}')
            await link.ping()
            link.close()


async def test_a_dock_works_at_the_end_of_a_long_path(room: Path) -> None:
    folder = room / ("x" * 120)
    folder.mkdir()
    async with Dock(folder):
        assert (folder / "c.sock").is_socket()
    assert os.listdir(folder) == []


async def test_a_port_inside_can_be_dialled(desk: Desk) -> None:
    serve = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
peer, _ = listener.accept()
peer.sendall(peer.recv(100).upper())"""
    wrote = bytearray()
    desk.heard.clear()

    def take(stream: str, data: bytes) -> None:
        wrote.extend(data)
        desk.heard.set()

    async with asyncio.TaskGroup() as group:
        job = group.create_task(desk.link.run(Job(mode="python", code=serve, cwd=desk.folder, wall_s=10), take))
        await desk.heard.wait()
        with await desk.link.dial(int(wrote)) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, b"hello")
            assert await asyncio.get_running_loop().sock_recv(connection, 100) == b"HELLO"
    assert job.result().exit_code == 0


async def test_a_port_where_nothing_listens_is_refused(desk: Desk) -> None:
    with pytest.raises(ConnectionRefusedError, match="refused"):
        await desk.link.dial(1)
    assert (await desk.bash("echo on")).stdout == b"on\n"


async def test_a_runner_that_dies_is_noticed(open_process: Open) -> None:
    async with open_process() as desk:
        running = await desk.begun("bash", "mkfifo end; echo on; cat end")
        os.kill(desk.pid, 9)
        ran = await running
        assert (ran.outcome.ended, ran.outcome.state_lost) == ("box", True)
        await asyncio.wait_for(desk.link.lost.wait(), 20)
        os.close(os.open(desk.outside / "end", os.O_RDWR))  # nobody else ends what outlived it


async def test_many_jobs_at_once_come_through(open_process: Open) -> None:
    """More than the control socket holds."""
    async with open_process() as desk:
        filler = "y" * 15_000
        rans = await asyncio.gather(*(desk.bash(f": {filler}; echo {n}") for n in range(60)))
        assert [ran.stdout for ran in rans] == [f"{n}\n".encode() for n in range(60)]


async def test_the_program_is_all_that_is_mounted(open_process: Open) -> None:
    assert (RUNNER / "__main__.py").is_file()
    assert COMMAND[2:] == ("/opt/agentrt/runner", "/run/agentrt/c.sock")
    for file in RUNNER.rglob("*.py"):
        assert "import agentrt." not in file.read_text()
        assert "from agentrt." not in file.read_text()


async def test_a_runner_that_talks_without_end_does_not_keep_the_loop() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setblocking(False)
    link, flooding = RunnerLink(here), True

    def flood() -> None:
        while flooding:
            try:
                there.send(b'{"id":7}')
            except OSError:
                return

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(flood))
        for _ in range(100):
            await asyncio.sleep(0)
        flooding = False
        link.close()
    there.close()


async def test_a_socket_that_comes_when_nobody_waits_any_more_is_closed() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setblocking(False)
    link, loop = RunnerLink(here), asyncio.get_running_loop()
    far, near = os.pipe()

    def hang_up_once_it_is_there() -> None:
        """Between the answer and who is woken by it."""
        answers = list(link._answers.values())
        if any(answer.done() for answer in answers):
            dialling.cancel()
        elif answers or not dialling.done():
            loop.call_soon(hang_up_once_it_is_there)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        dialling = group.create_task(link.dial(8000))
        hang_up_once_it_is_there()
        asked = json.loads(await asyncio.to_thread(there.recv, 1000))
        socket.send_fds(there, [json.dumps({"id": asked["id"]}).encode()], [near])
        os.close(near)
    assert dialling.cancelled()
    assert os.read(far, 1) == b"", "no end of it is held open"
    os.close(far)
    link.close()
    there.close()
