"""What code tries from inside, where the runner is process 1 and code runs as the same user, without an engine's own walls."""

import asyncio
import os
from pathlib import Path

import pytest

from .conftest import Desk, eventually

pytestmark = pytest.mark.anyio


def oom_score_adj(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


FORGE = """
import array, json, os, socket
said = json.dumps({"id": 1, "exit": 0, "value": "forged", "lost": False, "ended": ""}).encode()
for number in range(4096):
    for forged in (said, b"", b"{}", b"\\0" * 100, b"[" * 60000):
        try: os.write(number, forged)
        except OSError: pass
        try: socket.socket(fileno=os.dup(number)).send(forged)
        except OSError: pass
"""


@pytest.mark.parametrize("mode", ["kernel", "python"])
async def test_forged_frames_reach_nobody_but_the_job_that_forged_them(box: Desk, mode: str) -> None:
    other = await box.begun("bash", "echo mine; until test -e go; do sleep 0.05; done; exit 3")  # the job 1 that is forged
    await box.run(mode, FORGE, wall_s=3)
    (box.outside / "go").touch()
    ran = await other
    assert (ran.stdout, ran.outcome.exit_code) == (b"mine\n", 3)
    await box.link.ping()
    ran = await box.kernel("print('on')")
    assert (ran.stdout, ran.outcome.exit_code) == (b"on\n", 0)


async def test_a_kernel_can_lie_about_its_own_job_only(box: Desk) -> None:
    lie = """
import json, socket, sys
frame = sys._getframe()
while "job" not in frame.f_locals or "channel" not in frame.f_locals: frame = frame.f_back
channel, job = frame.f_locals["channel"], frame.f_locals["job"]
def say(**more):
    channel.send(json.dumps({"id": job["id"], "exit": 0, "value": "a lie"} | more).encode())
"""
    ran = await box.kernel(f"{lie}\nsay()\nimport time; time.sleep(60)")
    assert (ran.outcome.exit_code, ran.outcome.value) == (0, "a lie")
    ran = await box.kernel("print('next')", wall_s=1)  # behind a cell that never ended
    assert ran.outcome.ended == "wall"
    assert (await box.kernel("1 + 1")).outcome.value == "2"
    for more in ("id=job['id'] + 1", "exit=-5", "exit=2**80", "exit=True", "value=5", "value='x' * 60000"):
        ran = await box.kernel(f"{lie}\nsay({more})\nimport time; time.sleep(60)")
        assert (ran.outcome.exit_code, ran.outcome.state_lost, ran.outcome.ended) == (-9, True, "")
    assert (await box.kernel("1 + 1")).outcome.value == "2"


@pytest.mark.parametrize("mode", ["kernel", "python"])
async def test_no_descriptor_of_the_runner_is_in_a_child(box: Desk, mode: str) -> None:
    ran = await box.run(mode, "import os; print(*sorted(os.listdir('/proc/self/fd')))")
    assert ran.stdout == b"0 1 2 3 4\n"  # 3 is its own channel, 4 the folder that is listed
    for mode_ in ("bash", "command"):
        ran = await box.run(mode_, "ls /proc/self/fd | tr '\\n' ' '", argv=("ls", "/proc/self/fd"))
        assert ran.stdout.split() == [b"0", b"1", b"2", b"3"]


async def test_process_1_cannot_be_signalled(box: Desk) -> None:
    for number in range(1, 65):
        await box.python(f"import os; os.kill(1, {number})")
        await box.link.ping()
    assert (await box.bash("echo on")).stdout == b"on\n"


@pytest.mark.parametrize("mode", ["kernel", "python", "bash"])
@pytest.mark.parametrize("number", [9, 19])
async def test_signalling_everybody_ends_with_the_job_that_did_it(box: Desk, mode: str, number: int) -> None:
    code = f"kill -{number} -1" if mode == "bash" else f"import os; os.kill(-1, {number})"
    await box.run(mode, code, wall_s=1)
    await box.link.ping()
    await box.bash("true")  # the child that was ready for this may be dying still
    assert (await box.bash("echo on")).stdout == b"on\n"
    assert (await box.python("print('on')")).stdout == b"on\n"
    assert (await box.kernel("print('on')")).stdout == b"on\n"


async def test_a_spare_that_was_stopped_does_its_next_job(box: Desk) -> None:
    others = "{int(n) for n in os.listdir('/proc') if n.isdigit()} - {1, os.getpid()}"
    await box.python(f"import os\nfor n in {others}: os.kill(n, 19)")
    assert (await box.python("print('on')")).stdout == b"on\n"


async def test_what_is_of_process_1_cannot_be_opened(box: Desk) -> None:
    code = """
import os
for name in ("fd", "mem", "environ", "maps", "oom_score_adj", "cwd", "root", "ns/net", "map_files", "stack", "syscall", "auxv"):
    path = f"/proc/1/{name}"
    try: print(name, os.listdir(path) if os.path.isdir(path) else open(path, "r+b").read(1))
    except OSError: pass
print("tried")"""
    assert (await box.python(code)).stdout == b"tried\n"


async def test_nobody_can_be_traced_but_ones_own(box: Desk) -> None:
    await box.kernel("1")
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
SEIZE, PIDFD_OPEN, PIDFD_GETFD, VM_READV = 0x4206, 434, 438, 310
kept = []
for pid in [1] + [int(n) for n in os.listdir("/proc") if n.isdigit() and int(n) not in (1, os.getpid())]:
    traced = libc.ptrace(SEIZE, pid, None, None) == 0
    pidfd = libc.syscall(PIDFD_OPEN, pid, 0)
    stolen = [fd for fd in range(16) if libc.syscall(PIDFD_GETFD, pidfd, fd, 0) >= 0]
    print(pid, traced, stolen, open(f"/proc/{pid}/stat").read().split()[2])
"""
    ran = await box.python(code)
    lines = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in ran.stdout.decode().splitlines()}
    assert lines["1"].startswith("False []")
    # the kernel is of the same user's code; the spare is nobody's yet
    assert sum(line.startswith("False []") for line in lines.values()) >= min(2, len(lines) - 1)


async def test_closing_everything_ends_nobody_but_oneself(box: Desk) -> None:
    for mode in ("kernel", "python"):
        ran = await box.run(mode, "import os\nprint('before')\nos.closerange(0, 4096)\nprint('after')", wall_s=5)
        assert ran.outcome.ended == ""
        assert (await box.run(mode, "print('on')")).stdout == b"on\n"


async def test_a_fork_bomb_is_over_when_its_time_is(box: Desk) -> None:
    await box.kernel("x = 1")
    ran = await box.bash("bomb() { bomb | bomb & }; bomb; sleep 60", wall_s=1)
    assert ran.outcome.ended == "wall"
    assert (await box.bash("echo on")).stdout == b"on\n"
    ran = await box.python("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", wall_s=1)
    assert ran.outcome.ended == "wall"
    assert (await box.python("print('on')")).stdout == b"on\n"
    await eventually(lambda: len(box.processes()) < 10)


async def test_where_no_process_can_be_made_that_is_said(box: Desk) -> None:
    hog = """
import subprocess, time
hogs = []
while True:
    try: hogs.append(subprocess.Popen(["sleep", "60"]))
    except OSError: break
print("full")
time.sleep(60)"""
    running = await box.begun("python", hog)
    rans = await asyncio.gather(*(box.bash("sleep 0.2; echo on") for _ in range(4)))
    refused = [ran for ran in rans if ran.outcome.exit_code == 125]
    assert refused and all(b"no process could be started" in ran.stderr for ran in refused)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await box.bash("echo on")).stdout == b"on\n"


async def test_the_socket_cannot_be_dialled_again(box: Desk) -> None:
    assert not (box.control / "c.sock").exists()
    ran = await box.python(f"import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect({box.socket!r})")
    assert b"FileNotFoundError" in ran.stderr


async def test_the_child_goes_before_the_runner_when_memory_runs_out(box: Desk) -> None:
    for mode in ("kernel", "python"):
        assert (await box.run(mode, "int(open('/proc/self/oom_score_adj').read())")).outcome.value == "500"
    await eventually(lambda: oom_score_adj(box.pid) < 500)  # not just while it forks


async def test_descriptors_that_a_child_sends_are_closed(box: Desk) -> None:
    code = """
import array, os, socket
channel = socket.socket(fileno=os.dup(3))
fds = array.array("i", [os.open("/dev/null", 0)])
for _ in range(3): channel.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
"""
    before = len(os.listdir(f"/proc/{box.pid}/fd"))
    for _ in range(10):
        await box.python(code)
    await box.bash("true")
    assert len(os.listdir(f"/proc/{box.pid}/fd")) < before + 10
