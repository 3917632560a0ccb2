"""The command line against the real server, and without one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.postgres import free_port
from upstreams.openai_upstream import Gate, Reply, says

HI = "Use the echo tool to say: Hello"


@pytest.fixture
def agentrt(tmp_path):
    def run(*args: str, url: str = "", stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agentrt", *args],
            cwd=tmp_path,
            env=environment(tmp_path, url) | env,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=40,
        )

    return run


def environment(home: Path, url: str) -> dict[str, str]:
    clean = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    nowhere = f"http://127.0.0.1:{free_port()}"
    return {**clean, "HOME": str(home), "AGENTRT_DATA_DIR": str(home / "data"), "AGENTRT_URL": url or nowhere, "COLUMNS": "120"}


def test_one_question_one_answer(agentrt, shipped):
    ended = agentrt("run", HI, url=shipped.url)
    assert (ended.returncode, ended.stdout) == (0, "The echo tool answered: Hello\n"), ended.stderr
    assert "echo__echo" in ended.stderr
    events = [json.loads(line) for line in agentrt("run", HI, "--json", url=shipped.url).stdout.splitlines()]
    assert [events[0]["type"], events[-1]["type"]] == ["run_started", "run_completed"]


def test_without_a_server_a_private_one_is_started_and_that_is_said(agentrt):
    ended = agentrt("run", "Count from 1 to 3", AGENTRT_URL="", AGENTRT_ADDR=f"127.0.0.1:{free_port()}")
    assert (ended.returncode, ended.stdout) == (0, "1, 2, 3\n")
    assert "private" in ended.stderr
    refused = agentrt("runs", "list")
    assert refused.returncode == 1 and "agentrt serve" in refused.stderr


def test_a_conversation_from_a_pipe(agentrt, shipped):
    ended = agentrt("chat", url=shipped.url, stdin="Count from 1 to 3\nEcho: bye\n")
    assert ended.returncode == 0 and "1, 2, 3" in ended.stdout and "The echo tool answered: bye" in ended.stdout


def test_runs_are_listed_shown_watched_and_cancelled(agentrt, scripted, api, upstream):
    upstream.script(says("An answer."))
    run = api.post("/runs?wait=30", json={"input": "go", "session_id": "cli"}).json()
    listed = agentrt("runs", "list", "--session", "cli", url=scripted.url)
    assert run["id"] in listed.stdout and "completed" in listed.stdout
    assert "An answer." in agentrt("runs", "show", run["id"], url=scripted.url).stdout
    watched = agentrt("runs", "watch", run["id"], "--json", url=scripted.url)
    assert watched.returncode == 0 and json.loads(watched.stdout.splitlines()[-1])["type"] == "run_completed"
    assert agentrt("runs", "watch", run["id"], url=scripted.url).stdout == "An answer.\n"
    door = Gate()
    upstream.script(Reply([*says("begun").frames[:2], door]))
    live = api.post("/runs", json={"input": "go"}).json()
    assert door.reached.wait(30)
    assert agentrt("runs", "cancel", live["id"], url=scripted.url).returncode == 0
    shown = agentrt("runs", "show", live["id"], "--json", url=scripted.url)
    assert json.loads(shown.stdout)["status"] == "cancelled"
    assert agentrt("runs", "show", "run_nothing", url=scripted.url).returncode == 1


def test_sessions_are_listed_shown_and_deleted(agentrt, scripted, api, upstream):
    upstream.script(says("Remembered."))
    api.post("/runs?wait=30", json={"input": "keep this", "session_id": "cli-session"})
    assert "cli-session" in agentrt("sessions", "list", url=scripted.url).stdout
    shown = agentrt("sessions", "show", "cli-session", url=scripted.url).stdout
    assert "keep this" in shown and "Remembered." in shown
    assert agentrt("sessions", "delete", "cli-session", "--yes", url=scripted.url).returncode == 0
    assert api.get("/sessions/cli-session").status_code == 404


def test_ctrl_c_cancels_a_run_of_one_question(scripted, api, upstream, tmp_path):
    door = Gate()
    upstream.script(Reply([*says("begun, and then").frames[:2], door]))
    command = [sys.executable, "-m", "agentrt", "run", "go", "--json"]
    with subprocess.Popen(command, env=environment(tmp_path, scripted.url), stdout=-1, stderr=-1, text=True) as asking:
        assert asking.stdout is not None and "run_started" in asking.stdout.readline()
        asking.send_signal(signal.SIGINT)
        asking.communicate(timeout=40)
    assert asking.returncode != 0 and upstream.chats[0].hung_up.wait(30)
    assert api.get("/runs?limit=1").json()["data"][0]["status"] == "cancelled"


def test_the_doctor_the_database_and_the_files_are_checked(agentrt, shipped, tmp_path):
    well = agentrt("doctor", url=shipped.url)
    assert well.returncode == 0 and "OPENAI_API_KEY" in well.stdout, well.stdout + well.stderr
    assert agentrt("db", "upgrade").returncode == 0
    assert agentrt("db", "check").returncode == 0
    (tmp_path / "bad.yaml").write_text("name: x\nmodle: y\n")
    bad = agentrt("config", "check", "bad.yaml")
    assert bad.returncode == 1 and "bad.yaml:2:1" in bad.stdout + bad.stderr
    assert json.loads(agentrt("config", "schema").stdout)["$schema"]


def test_the_description_of_the_api_is_the_one_that_is_served(agentrt, shipped, connect):
    printed = json.loads(agentrt("openapi").stdout)
    served = connect(shipped).get("/schema/openapi.json").json()
    assert printed["paths"].keys() == served["paths"].keys()


def test_the_timeline_of_a_run_reads_the_same_everywhere(agentrt, shipped, connect):
    lines = agentrt("run", HI, "--json", url=shipped.url).stdout.splitlines()
    run_id = json.loads(lines[0])["run_id"]
    again = agentrt("runs", "watch", run_id, "--json", url=shipped.url).stdout.splitlines()
    names = [[json.loads(line)["type"] for line in told if "text_delta" not in line] for told in (lines, again)]
    assert names[0] == names[1]
