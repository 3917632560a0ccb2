"""How processes of a box are wiped out, where the one that does it is process 1."""

import os
import shutil
import subprocess

import pytest

from agentrt.containers.runner import RUNNER

from .conftest import NAMESPACE

CODE = f"""
import itertools, os, signal, sys, time
sys.path.insert(0, {str(RUNNER)!r})
from agentrt_runner.processes import strike, wipe

def live():
    pid = os.fork()
    if not pid:
        while True: signal.pause()
    return pid

def state(pid):
    with open(f"/proc/{{pid}}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]

spared, resting, other, sought = pids = [live() for _ in range(4)]
strike(resting, signal.SIGSTOP)
os.waitid(os.P_PID, resting, os.WSTOPPED)
new = itertools.count(10_000)
wipe(lambda: {{sought, next(new)}}, {{spared, resting}}, {{resting}})
until = time.monotonic() + 20
while (states := "".join(map(state, pids))) != "STSZ" and time.monotonic() < until: pass
print(states)
"""


def test_where_all_had_to_be_stopped_all_go_on_that_did_not_rest() -> None:
    """The look that finds something new each time is that at a fork bomb."""
    python = shutil.which("python3", path="/usr/bin")
    if os.geteuid() != 0 or python is None or not all(map(shutil.which, ("unshare", "setpriv", "prlimit"))):
        pytest.skip("needs root, unshare, setpriv, prlimit and the system's Python")
    ran = subprocess.run([*NAMESPACE, python, "-I", "-c", CODE], capture_output=True, text=True, timeout=50, check=False, cwd="/")
    assert ran.stdout == "STSZ\n", ran.stderr
