"""The client that executes code, run as its own text says, on both engines."""

import os
import subprocess
import sys
from pathlib import Path

from fixtures.code_server import CodeServer


def test_code_runs_in_a_chat_and_in_a_sandbox_of_its_own(code_server: CodeServer, examples: Path) -> None:
    env = {"PATH": os.environ["PATH"], "AGENTRT_URL": code_server.url}
    command = [sys.executable, "execute_code.py"]
    done = subprocess.run(command, cwd=examples / "clients", env=env, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "print(2 + 2) -> 4",
        "n = 41 -> [no output]",
        "print(n + 1) -> 42",
        "sum: 285",
        "figure-1.png: image/png, whole",
        "event: stdout",
        "event: result",
    ]
