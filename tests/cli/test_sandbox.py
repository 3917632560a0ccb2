"""`agentrt sandbox`: work in the sandboxes of a running server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
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


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_terminal_that_is_closed_leaves_no_sandbox_behind(started: Any, scripted: Any, number: signal.Signals) -> None:
    scripted.answers["POST /sandboxes"] = (201, {"id": "sbx_1"})
    scripted.answers["DELETE /sandboxes/sbx_1"] = (200, {})
    child = started("sandbox", "shell", AGENTRT_URL=scripted.url)
    assert child.stderr.readline().startswith("sbx_1;")
    until = time.monotonic() + 50
    while child.poll() is None and time.monotonic() < until:
        child.send_signal(number)  # again: one that comes right before it reads wakes it only with the next line
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.5)
    assert child.returncode == 128 + number
    assert scripted.asked[-1][:2] == ("DELETE", "/sandboxes/sbx_1?files=true")


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon"])
def test_a_time_that_is_none_is_refused_in_a_sentence(run: Run, seconds: str) -> None:
    done = run("exec", "1", "--timeout", seconds)
    assert done.returncode != 0 and "Error: " in done.stderr and "Traceback" not in done.stderr


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


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("exec", "sbx_none", "print(1)"), 2, "a sandbox is named by --in"),
        (("exec", "--in", "sbx_none", "1"), 1, "there is no sandbox 'sbx_none'"),
        (("exec", "--in", "", "1"), 1, "there is no sandbox"),
        (("exec", "--in", "sbx_none", "--session", "s", "1"), 2, "name the sandbox or its session, not both"),
        (("exec", "--session", "", "1"), 1, "a session's name"),
        (("exec", "--user", "a\nb", "1"), 2, "--user: expected a name"),
        (("exec", "--user", "a" * 256, "1"), 2, "--user: expected a name"),
        (("shell", "sbx_none"), 1, "there is no sandbox 'sbx_none'"),
        (("files", "sbx_none", "--get"), 2, "--get needs the PATH of a file"),
        (("files", "sbx_none", "--zip", "there-is-none.zip"), 1, "there is no sandbox"),
    ],
)
def test_what_is_typed_wrongly_is_one_sentence(run: Run, tmp_path: Path, words: tuple[str, ...], status: int, said: str) -> None:
    named = {} if "--user" not in words else {"user": words[words.index("--user") + 1]}
    typed = tuple(word for word in words if word != "--user" and word != named.get("user"))
    done = run(*typed, **named)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert said in done.stderr
    assert not list(tmp_path.glob("*.zip")), "what was refused leaves no empty file"


def test_a_file_that_cannot_be_written_is_one_sentence(run: Run) -> None:
    assert run("exec", "--session", "z", "1", user="zoe").returncode == 0
    sandbox = run("ls", user="zoe").stdout.split("\t")[0]
    done = run("files", sandbox, "--zip", "no/such/folder.zip", user="zoe")
    assert (done.returncode, done.stderr) == (1, "Error: no/such/folder.zip cannot be written: No such file or directory\n")


def test_several_are_removed_although_one_of_them_is_not_there(run: Run) -> None:
    assert run("exec", "--session", "r", "1", user="rob").returncode == 0
    sandbox = run("ls", user="rob").stdout.split("\t")[0]
    done = run("rm", "sbx_none", sandbox, user="rob")
    assert (done.returncode, done.stdout) == (1, f"removed {sandbox}\n")
    assert "there is no sandbox 'sbx_none'" in done.stderr


def test_a_name_in_any_script_is_a_user_of_its_own(run: Run) -> None:
    assert run("exec", "--session", "s", "x = 'hers'", user="Żaneta").returncode == 0
    assert run("exec", "--session", "s", "x", user="Żaneta").stdout == "'hers'\n"
    assert json.loads(run("ls", "--json", user="Żaneta").stdout)["data"][0]["user"] == "Żaneta"
    assert run("exec", "--session", "s", "x", user="Zaneta").returncode == 1


def test_what_a_signal_ended_ends_as_in_a_shell(run: Run) -> None:
    assert run("exec", "--language", "bash", "kill -KILL $$").returncode == 128 + 9


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
    assert run("exec", "--json", "print(1); 1 / 0").stderr == "", "all of it is in the answer"
    assert json.loads(run("ls", "--json").stdout)["data"] == []
    assert json.loads(run("gc", "--json").stdout) == {"removed": 0}


def test_the_doctor_says_where_code_runs(code_server: CodeServer, code_engine: str, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "AGENTRT_URL": code_server.url, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "agentrt", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=50)
    (check,) = [check for check in json.loads(done.stdout) if check["name"] == "containers"]
    assert check["verdict"] == "ok" and code_engine in check["detail"]
