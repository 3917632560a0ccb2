"""How jobs end before their time, and what is left of them."""

import asyncio
from pathlib import Path

import pytest

from agentrt.containers import SandboxGone

from .conftest import Desk, eventually

pytestmark = pytest.mark.anyio

STUBBORN = "import time\nwhile True:\n    try: time.sleep(60)\n    except BaseException: pass"


def zombies(parent: int) -> int:
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return sum(state == "Z" and int(ppid) == parent for state, ppid, *_ in stats)


@pytest.mark.parametrize("mode", ["python", "bash", "command"])
async def test_the_wall_limit_ends_a_one_shot_with_all_that_it_started(desk: Desk, mode: str) -> None:
    script = "sleep 71 & setsid sleep 72 & sleep 73"
    code = f"import os; os.system({script!r})" if mode == "python" else script
    ran = await desk.run(mode, code, argv=("bash", "-c", script), wall_s=0.3)
    assert (ran.outcome.ended, ran.outcome.state_lost) == ("wall", False)
    assert ran.outcome.exit_code in (-9, 137)  # a shell may see its child go first
    await eventually(lambda: not any("sleep" in line for line in desk.processes()))


async def test_the_wall_limit_interrupts_a_kernel_which_keeps_its_variables(desk: Desk) -> None:
    await desk.kernel("import time; x = 1")
    ran = await desk.kernel("time.sleep(60)", wall_s=1)
    assert (ran.outcome.ended, ran.outcome.exit_code, ran.outcome.state_lost) == ("wall", 130, False)
    assert ran.stderr.endswith(b"KeyboardInterrupt\n")
    assert b"agentrt_runner" not in ran.stderr
    assert (await desk.kernel("x")).outcome.value == "1"


async def test_an_interrupt_reaches_what_a_kernel_waits_for(desk: Desk) -> None:
    await desk.kernel("import subprocess")
    ran = await desk.kernel("subprocess.run(['sleep', '60'])", wall_s=1)
    assert (ran.outcome.ended, ran.outcome.state_lost) == ("wall", False)
    assert not any("sleep" in line for line in desk.processes())


async def test_a_kernel_that_does_not_listen_is_killed_and_that_is_said(desk: Desk) -> None:
    await desk.kernel("x = 1")
    ran = await desk.kernel(STUBBORN, wall_s=1)
    assert (ran.outcome.ended, ran.outcome.exit_code, ran.outcome.state_lost) == ("wall", -9, True)
    ran = await desk.kernel("x")
    assert (ran.outcome.exit_code, ran.outcome.state_lost) == (1, False)
    assert b"NameError" in ran.stderr


@pytest.mark.parametrize("mode", ["python", "bash"])
async def test_the_limit_of_processor_time_ends_a_one_shot(desk: Desk, mode: str) -> None:
    code = "while True: pass" if mode == "python" else "while :; do :; done"
    ran = await desk.run(mode, code, cpu_s=0.5)
    assert (ran.outcome.ended, ran.outcome.exit_code) == ("cpu", -24)


async def test_one_that_ignores_that_limit_is_killed(desk: Desk) -> None:
    ran = await desk.python("import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", cpu_s=1)
    assert (ran.outcome.ended, ran.outcome.exit_code) == ("cpu", -9)


async def test_processor_time_of_a_kernel_is_counted_by_job(desk: Desk) -> None:
    burn = "import time\nbegan = time.process_time()\nwhile time.process_time() - began < 0.3: pass"
    for _ in range(3):
        ran = await desk.kernel(burn, cpu_s=0.5)
        assert (ran.outcome.ended, ran.outcome.exit_code) == ("", 0)
    ran = await desk.kernel("while True: pass", cpu_s=0.3)
    assert (ran.outcome.ended, ran.outcome.exit_code, ran.outcome.state_lost) == ("cpu", 130, False)
    assert (await desk.kernel("began > 0")).outcome.value == "True"


@pytest.mark.parametrize("mode", ["python", "bash", "kernel"])
async def test_a_cancel_ends_everything_that_was_started(desk: Desk, mode: str) -> None:
    script = "sleep 71 & setsid sleep 72 & echo on; sleep 73"
    task = await desk.begun(
        mode, script if mode == "bash" else f"import subprocess; x = 1; subprocess.run(['bash', '-c', {script!r}])"
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any("sleep" in line for line in desk.processes())
    if mode == "kernel":
        assert (await desk.kernel("x")).outcome.value == "1"


async def test_a_cancel_kills_a_stubborn_kernel(desk: Desk) -> None:
    task = await desk.begun("kernel", f"print('on')\n{STUBBORN}")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ran = await desk.kernel("1 + 1")
    assert ran.outcome.value == "2"


async def test_a_cancel_while_waiting_for_the_kernel_disturbs_nobody(desk: Desk) -> None:
    first = await desk.begun("kernel", "print('on')\nimport os\nwhile not os.path.exists('go'): os.sched_yield()")
    second = desk.start("kernel", "x = 2")
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    (desk.outside / "go").touch()
    assert (await first).outcome.exit_code == 0
    assert b"NameError" in (await desk.kernel("x")).stderr


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os; os._exit(9)", 9),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import ctypes; ctypes.string_at(0)", -11),
        ("import os; os.abort()", -6),
    ],
)
async def test_a_kernel_that_dies_says_so_and_the_next_one_is_new(desk: Desk, code: str, expected: int) -> None:
    await desk.kernel("x = 1")
    ran = await desk.kernel(f"print('last words')\n{code}")
    assert (ran.outcome.exit_code, ran.outcome.state_lost, ran.stdout) == (expected, True, b"last words\n")
    ran = await desk.kernel("print('x' in dir())")
    assert (ran.stdout, ran.outcome.state_lost) == (b"False\n", False)


async def test_a_kernel_that_died_between_jobs_is_said_to_have(desk: Desk) -> None:
    pid = (await desk.kernel("import os; x = 1; os.getpid()")).outcome.value
    await desk.bash(f"kill -9 {pid}")
    assert (await desk.kernel("1")).outcome.state_lost
    ran = await desk.kernel("print('x' in dir())")
    assert (ran.stdout, ran.outcome.state_lost) == (b"False\n", False)


async def test_a_child_that_comes_out_of_a_cell_is_no_second_kernel(desk: Desk) -> None:
    ran = await desk.kernel("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('both')")
    assert ran.stdout == b"both\nboth\n"
    assert (await desk.kernel("pid > 0")).outcome.value == "True"


@pytest.mark.parametrize("mode", ["python", "bash", "kernel"])
async def test_nothing_outlives_the_last_job_not_even_a_daemon(desk: Desk, mode: str) -> None:
    daemon = "(setsid bash -c 'trap \"\" HUP TERM; (sleep 81 &) ; sleep 82' >/dev/null 2>&1 &) ; sleep 83 & sleep 0.2"
    code = daemon if mode == "bash" else f"import os; os.system({daemon!r})"
    await desk.kernel("x = 1")
    await desk.run(mode, code)
    await eventually(lambda: not any("sleep" in line for line in desk.processes()))
    assert (await desk.kernel("x")).outcome.value == "1"


async def test_one_job_that_ends_takes_its_children_and_leaves_those_of_others(desk: Desk) -> None:
    long = await desk.begun("bash", "sleep 91 & echo on; while [ ! -e go ]; do sleep 0.05; done; kill -0 $! && echo alive")
    await desk.bash("sleep 92 & sleep 93 & sleep 0.05")
    assert not {"sleep 92", "sleep 93"} & desk.processes()
    await eventually(lambda: "sleep 91" in desk.processes())
    (desk.outside / "go").touch()
    assert (await long).stdout == b"on\nalive\n"
    await eventually(lambda: "sleep 91" not in desk.processes())


async def test_threads_of_a_kernel_rest_between_its_jobs(desk: Desk) -> None:
    """Else a thread could do on its own, for ever, what a job may not."""
    code = """
import itertools, os, threading
count, pid = itertools.count(), os.getpid()
def spin():
    while True:
        next(count)
        print("late", flush=True)
threading.Thread(target=spin, daemon=True).start()
print(end="")
pid"""
    pid = int((await desk.kernel(code)).outcome.value)
    rests = f"until grep 'State:.*stopped' /proc/{pid}/status; do :; done"
    assert (await desk.bash(rests)).outcome.exit_code == 0
    assert int((await desk.kernel("next(count)")).outcome.value) > 0


async def test_a_kernel_that_stops_itself_is_ended_by_its_wall_limit(desk: Desk) -> None:
    ran = await desk.kernel("import os, signal; x = 1; os.kill(os.getpid(), signal.SIGSTOP)", wall_s=0.3)
    assert ran.outcome.ended == "wall"
    assert (await desk.python("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", wall_s=0.3)).outcome.ended == "wall"
    assert (await desk.kernel("1 + 1")).outcome.value == "2"


async def test_the_dead_are_buried(desk: Desk) -> None:
    for _ in range(30):
        await desk.bash("(true &) ; (true &)")
    await desk.kernel("1")
    await eventually(lambda: zombies(desk.pid) == 0)


async def test_kill_all_ends_everything_and_the_runner_goes_on(desk: Desk) -> None:
    await desk.kernel("x = 1")
    running = await desk.begun("bash", "setsid sleep 96 & echo on; sleep 97")
    await desk.link.kill_all()
    assert (await running).outcome.exit_code == -9
    assert not any("sleep" in line for line in desk.processes())
    ran = await desk.kernel("print('x' in dir())")
    assert (ran.stdout, ran.outcome.state_lost) == (b"False\n", True)


async def test_the_box_ends_when_the_host_hangs_up(desk: Desk) -> None:
    running = await desk.begun("bash", "setsid sleep 98 & echo on; sleep 99")
    desk.link.close()
    ran = await running
    assert (ran.outcome.ended, ran.outcome.exit_code, ran.outcome.state_lost) == ("box", -9, True)
    await eventually(lambda: not desk.processes())
    with pytest.raises(SandboxGone):
        await desk.link.ping()
    assert (await desk.bash("true")).outcome.ended == "box"


@pytest.mark.parametrize("mode", ["python", "bash", "kernel"])
async def test_what_runs_after_a_job_that_killed_all_it_could_runs_as_if_nothing_had_been(box: Desk, mode: str) -> None:
    """Who waits to do it may be among the dead, and not know it yet."""
    for number in range(20):
        await box.kernel("x = 1")
        await box.python("import os; os.kill(-1, 9)")
        code = f"echo {number}" if mode == "bash" else f"print({number})"
        ran = await box.run(mode, code)
        assert (ran.outcome.exit_code, ran.stdout, ran.outcome.state_lost) == (0, f"{number}\n".encode(), mode == "kernel")
        await box.kernel("1")


async def test_a_job_that_has_begun_is_never_done_again(box: Desk) -> None:
    for mode in ("python", "kernel"):
        ran = await box.run(mode, "import os; open('begun', 'a').write('x'); os.kill(os.getpid(), 9)")
        assert ran.outcome.exit_code == -9
    assert (box.outside / "begun").read_text() == "xx"
