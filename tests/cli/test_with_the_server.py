"""The commands and the server together, as a person uses them."""

import json
import os
import signal
import socket
import subprocess
from contextlib import closing

import pytest

NOBODY = "127.0.0.1:9"


@pytest.fixture
def asked(agentrt, live_server):
    """`asked("runs", "list")` of a server that runs with the shipped configuration."""
    live_server.wait_connected()
    return lambda *args, **more: agentrt(*args, AGENTRT_URL=live_server.url, **more)


def test_a_question_is_answered_with_a_tool_and_can_be_read_again(asked):
    done = asked("run", "Use the echo tool to say: Hello")
    assert done.returncode == 0, done.stderr
    assert "Hello" in done.stdout
    assert "✓ echo__echo" in done.stderr
    run_id = done.stderr.split()[0]
    shown = json.loads(asked("runs", "show", run_id, "--json").stdout)
    assert (shown["status"], [step["type"] for step in shown["steps"]]) == ("completed", ["model", "tool", "model"])
    assert asked("runs", "show", run_id).stdout.rstrip().endswith(done.stdout.strip())
    assert asked("runs", "watch", run_id).stdout == done.stdout
    assert run_id in asked("runs", "list", "--status", "completed").stdout


def test_events_are_lines_of_json_from_the_first_to_the_last(asked):
    lines = [json.loads(line) for line in asked("run", "Count from 1 to 3", "--json").stdout.splitlines()]
    kinds = [line["type"] for line in lines]
    assert (kinds[0], kinds[-2:]) == ("run_started", ["final_text", "run_completed"])
    assert "".join(line["text"] for line in lines if line["type"] == "text_delta") == lines[-2]["text"]


def test_a_conversation_is_one_session_that_can_be_shown_and_deleted(asked):
    done = asked("chat", stdin="hello there\nUse the echo tool to say: Hello\n")
    assert done.returncode == 0, done.stderr
    assert "✓ echo__echo" in done.stderr
    session = asked("sessions", "list").stdout.split()[0]
    messages = json.loads(asked("sessions", "show", session, "--json").stdout)["messages"]
    assert [m["text"] for m in messages if m["role"] == "user"] == ["hello there", "Use the echo tool to say: Hello"]
    assert len(asked("runs", "list", "--session", session).stdout.splitlines()) == 2
    assert asked("sessions", "delete", session).stdout == f"deleted {session}\n"
    gone = asked("sessions", "show", session)
    assert (gone.returncode, gone.stderr) == (1, f"Error: there is no session '{session}'\n")


def test_what_does_not_exist_is_one_sentence(asked):
    for typed in (
        ("run", "hi", "--agent", "nobody"),
        ("run", "hi", "--model", "nobody/knows"),
        ("run", "hi", "--session", "a session/ü"),
        ("runs", "show", "nonsense"),
        ("runs", "show", ""),
        ("runs", "show", "../health"),
        ("runs", "watch", "nonsense"),
        ("runs", "cancel", "nonsense"),
        ("runs", "list", "--after", "nonsense"),
        ("sessions", "show", "nonsense"),
        ("sessions", "delete", "nonsense"),
    ):
        done = asked(*typed)
        assert (done.returncode, done.stdout) == (1, ""), typed
        assert done.stderr.startswith("Error: "), typed
        assert len(done.stderr.splitlines()) == 1, typed
        assert "mistake" not in done.stderr, typed


def test_ctrl_c_cancels_what_runs(started, live_server, agentrt):
    child = started("run", "use the slow tool for 60 seconds", "--json", AGENTRT_URL=live_server.url)
    for line in child.stdout:
        if '"tool_started"' in line:
            break
    run_id = json.loads(line)["run_id"]
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=40)
    assert (child.returncode, err) == (1, f"cancelled {run_id}\n")
    watched = agentrt("runs", "watch", run_id, AGENTRT_URL=live_server.url)
    assert watched.returncode == 1
    assert "cancelled (request)" in watched.stderr


def test_without_a_server_a_private_one_is_started_with_the_same_data_and_stopped(agentrt, tmp_path):
    done = agentrt("run", "Echo: test", "--json", AGENTRT_ADDR=NOBODY)
    assert done.returncode == 0, done.stderr
    assert f"no server answers at http://{NOBODY}: started a private one for this command" in done.stderr
    assert (tmp_path / "share" / "agentrt" / "agentrt.db").exists()
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True).stdout
    assert left == ""
    done = agentrt("chat", stdin="hello\n", AGENTRT_ADDR=NOBODY)
    assert done.returncode == 0, done.stderr


def test_a_private_server_that_cannot_start_says_why(agentrt, live_server, tmp_path):
    done = agentrt("run", "hi", "--data-dir", str(live_server.home / "data"), AGENTRT_ADDR=NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: a private server could not start: another agentrt server")


def test_a_port_in_use_is_one_sentence_that_says_what_to_type(agentrt):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = agentrt("serve", "--addr", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"Error: cannot listen on 127.0.0.1:{port}: the port is in use")
    assert f"agentrt serve --addr 127.0.0.1:{port + 1}" in done.stderr


def test_a_data_folder_that_cannot_be_made_is_one_sentence(agentrt, tmp_path):
    (tmp_path / "taken").touch()
    done = agentrt("serve", "--addr", NOBODY, "--data-dir", "taken")
    why = "a file of that name is there; name another one with --data-dir"
    assert (done.returncode, done.stderr) == (1, f"Error: the data folder {tmp_path}/taken cannot be made: {why}\n")


def test_a_terminal_that_is_closed_ends_the_server_in_order(started, tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    child = started(
        "serve", "--addr", f"127.0.0.1:{port}", AGENTRT_MODULES__MCP_REGISTRY="false", AGENTRT_CONTAINERS__ENGINE="none"
    )
    assert child.stdout.readline().startswith("agentrt listens on")
    child.send_signal(signal.SIGHUP)
    assert child.wait(30) == 0


def test_a_broken_agent_file_is_said_in_the_banner_and_the_server_serves(serve, tmp_path):
    (tmp_path / "broken.yaml").write_text("name: [\n")
    with serve("--config", "broken.yaml") as server:
        assert "agent   default: the agent default is not loaded; /health names the problem" in server.log


def test_an_address_that_others_reach_warns_at_every_start(started):
    child = started("serve", "--addr", ":0", "--allow-unauthenticated")
    assert "can be reached by others" in next(line for line in child.stderr if '"level":"warning"' in line)
    assert "  warning 0.0.0.0:0 can be reached by others" in next(line for line in child.stdout if "  warning" in line)
    child.terminate()
    assert child.wait(30) == 0


def test_the_banner_is_shown_once_it_listens(live_server):
    assert f"agentrt listens on {live_server.url}" in live_server.log
    assert "default uses offline/offline: no provider is configured" in live_server.log


def test_the_database_is_checked_and_upgraded(agentrt):
    done = agentrt("db", "check")
    assert (done.returncode, done.stderr.splitlines()[-1].startswith("→ agentrt db upgrade")) == (1, True)
    assert agentrt("db", "upgrade").stdout.endswith("now has the newest schema\n")
    assert agentrt("db", "upgrade").stdout.endswith("had the newest schema\n")
    assert agentrt("db", "check").returncode == 0


def test_openapi_describes_the_server_without_touching_any_data(agentrt, tmp_path):
    described = json.loads(agentrt("openapi").stdout)
    assert {"/runs", "/v1/chat/completions", "/sessions", "/mcp-servers"} <= set(described["paths"])
    assert not (tmp_path / "share").exists()


def test_doctor_asks_the_running_server(agentrt, live_server):
    checks = json.loads(agentrt("doctor", "--json", "--url", live_server.url).stdout)
    found = {check["name"]: check for check in checks}
    assert found["address"]["verdict"] == "ok"
    assert found["mcp echo"]["verdict"] in {"ok", "note"}
