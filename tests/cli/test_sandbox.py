"""`agentrt sandbox`: work in the sandboxes of a running server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.code_server import CodeServer

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(code_server: CodeServer, tmp_path: Path) -> Run:
    """Types `agentrt sandbox …` as a user of their own."""

    def run_(*words: str, user: str = "cli", typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agentrt", "sandbox", *words, "--user", user]
        env = {"PATH": os.environ["PATH"], "AGENTRT_URL": code_server.url, "HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, input=typed, env=env, cwd=tmp_path, timeout=50)

    return run_


def test_code_is_executed_in_a_sandbox_of_its_own(run: Run) -> None:
    done = run("exec", "print(6 * 7)\n'last'")
    assert (done.returncode, done.stdout) == (0, "42\n'last'\n"), done.stderr
    done = run("exec", "--language", "bash", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    done = run("exec", "-", typed="print('typed')")
    assert done.stdout == "typed\n"
    assert run("ls").stdout == ""


def test_a_session_keeps_its_variables_and_files(run: Run, tmp_path: Path) -> None:
    assert run("exec", "--session", "s", "x = 5; open('a.txt', 'w').write('content')", user="ann").returncode == 0
    assert run("exec", "--session", "s", "x * 2", user="ann").stdout == "10\n"
    (line,) = run("ls", user="ann").stdout.splitlines()
    sandbox = line.split("\t")[0]
    assert "a.txt\t7\t" in run("files", sandbox, user="ann").stdout
    assert run("files", sandbox, "a.txt", "--get", user="ann").stdout == "content"
    assert run("files", sandbox, "--zip", "all.zip", user="ann").returncode == 0
    assert (tmp_path / "all.zip").read_bytes().startswith(b"PK")
    assert len(run("logs", sandbox, user="ann").stdout.splitlines()) == 2
    assert "workspace" not in run("show", sandbox, user="ann").stdout
    refused = run("exec", "--in", sandbox, "1", user="eve")
    assert refused.returncode == 1 and "there is no sandbox" in refused.stderr
    assert run("rm", sandbox, "--files", user="ann").stdout == f"removed {sandbox}\n"
    assert run("rm", sandbox, user="ann").returncode == 1


def test_lines_that_are_typed_are_one_program_when_they_belong_together(run: Run) -> None:
    typed = "x = 3\nfor i in range(x):\n    print(i)\n\nx\n1 / 0\nx + 1\n"
    done = run("shell", typed=typed)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n1\n2\n3\n4\n"
    assert "ZeroDivisionError" in done.stderr
    assert run("shell", "--language", "bash", typed="echo one \\\n  two\n").stdout == "one two\n"


def test_programs_get_json(run: Run) -> None:
    done: dict[str, Any] = json.loads(run("exec", "--json", "print(1)").stdout)
    assert (done["stdout"], done["exit_code"]) == ("1\n", 0)
    assert json.loads(run("ls", "--json").stdout)["data"] == []
    assert json.loads(run("gc", "--json").stdout) == {"removed": 0}


def test_the_doctor_says_where_code_runs(code_server: CodeServer, code_engine: str, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "AGENTRT_URL": code_server.url, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "agentrt", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=50)
    (check,) = [check for check in json.loads(done.stdout) if check["name"] == "containers"]
    assert check["verdict"] == "ok" and code_engine in check["detail"]
