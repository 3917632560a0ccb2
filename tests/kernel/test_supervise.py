import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentrt.kernel import supervised

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="job objects do it there")

# A child that tells its pid and that of a grandchild which left the session and whose parent is gone.
FAMILY = """
import json, os, subprocess, sys, time
script = "from subprocess import *; print(Popen(['sleep', '300'], start_new_session=True, stdout=DEVNULL, stderr=DEVNULL).pid)"
told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
print(json.dumps([os.getpid(), int(told)]), flush=True)
"""
STAYING = FAMILY + "time.sleep(3600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
# Somebody who starts a supervised command and then is killed; it hands the command's output on.
PARENT = """
import subprocess, sys, time
from agentrt.kernel import supervised
child = subprocess.Popen(supervised([sys.executable, "-c", sys.argv[1]]), stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), end="", flush=True)
child.wait()
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        os.sched_yield()


def run(*command: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(supervised(command), capture_output=True, text=True, timeout=20, check=False, **more)


def test_the_command_has_its_input_its_output_and_its_exit_code() -> None:
    done = run("sh", "-c", "cat; echo wrong >&2; exit 7", input="hello")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello", "wrong\n")


def test_a_command_ended_by_a_signal_says_so_and_one_that_does_not_exist_too() -> None:
    assert run("sh", "-c", "kill -9 $$").returncode == 128 + 9
    missing = run("no-such-command")
    assert (missing.returncode, missing.stderr) == (127, "the command 'no-such-command' does not exist\n")
    assert run("/").returncode == 126


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what leaves the process group escapes")
def test_what_a_command_leaves_behind_goes_with_it() -> None:
    _, grandchild = json.loads(run(sys.executable, "-c", FAMILY).stdout)
    assert not alive(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what leaves the process group escapes")
@pytest.mark.parametrize("nature", ["", STUBBORN], ids=["obedient", "stubborn"])
def test_nothing_outlives_the_one_who_asked_even_when_it_is_killed(nature) -> None:
    family = f"{nature}\n{STAYING}"
    with subprocess.Popen([sys.executable, "-c", PARENT, family], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        assert all(alive(pid) for pid in pids)
        parent.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_supervisor_that_is_told_to_stop_stops_everything() -> None:
    command = supervised([sys.executable, "-c", f"{STUBBORN}\n{STAYING}"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pids = json.loads(supervisor.stdout.readline())
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 128 + signal.SIGKILL
    assert not any(alive(pid) for pid in pids)


def test_a_supervisor_that_comes_too_late_ends_at_once() -> None:
    command = supervised(["sleep", "300"])
    at = command.index("--") - 1
    command[at] = "1" if os.getpid() != 1 else "2"  # a parent that is not the one it has
    assert subprocess.run(command, timeout=10, check=False).returncode == 1


def test_other_signals_are_passed_on() -> None:
    script = (
        "import signal, sys\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit(5))\nprint('ready', flush=True)\nsignal.pause()"
    )
    with subprocess.Popen(supervised([sys.executable, "-c", script]), stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.send_signal(signal.SIGUSR1)
        assert supervisor.wait(30) == 5
