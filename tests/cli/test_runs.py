import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import pytest

TOOL = {"call_id": "call_1", "name": "echo__echo", "arguments": '{"text":"Hello"}'}
RESULT = {"type": "tool_result", "call_id": "call_1", "parts": [{"type": "text", "text": "Hello"}]}


def test_run_writes_the_answer_to_stdout_and_the_tools_to_stderr(agentrt, scripted):
    scripted.answers["POST /runs"] = (202, {"id": scripted.run, "agent": "default", "model": "offline", "provider": "offline"})
    scripted.streams = [
        [
            scripted.event("run_started", "1"),
            scripted.event("tool_started", "2", **TOOL),
            scripted.event("tool_stdout", "3", call_id="call_1", text="half way", progress=1, total=2),
            scripted.event("tool_completed", "4", name="echo__echo", call_id="call_1", result=RESULT, duration_ms=12.3),
            scripted.event("text_delta", "4.9", text="It said: "),
            scripted.event("text_delta", "4.14", text="Hello"),
            scripted.event("model_completed", "5"),
            scripted.event("something_new", "6"),
            scripted.event("final_text", "7", text="It said: Hello"),
            scripted.event("run_completed", "8", finish_reason="stop"),
        ]
    ]
    done = agentrt("run", "Use the echo tool", "--agent", "default", "--session", scripted.session, AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stdout) == (0, "It said: Hello\n")
    assert done.stderr.splitlines() == [
        f"{scripted.run}  agent default, model offline/offline",
        '→ echo__echo {"text":"Hello"}',
        "  echo__echo: 1 of 2 half way",
        "✓ echo__echo 12 ms: Hello",
    ]
    wanted = {"input": "Use the echo tool", "agent": "default", "session_id": scripted.session}
    assert ("POST", "/runs", wanted, None) in scripted.asked
    agentrt("run", "Go on", "--mode", "autonomous", AGENTRT_URL=scripted.url)
    assert ("POST", "/runs", {"mode": "autonomous", "input": "Go on"}, None) in scripted.asked


def test_flags_for_a_private_server_have_no_effect_on_one_that_runs_and_that_is_said(agentrt, scripted):
    scripted.answers["POST /runs"] = (202, {"id": scripted.run, "agent": "default", "model": "offline", "provider": "offline"})
    scripted.streams = [[scripted.event("final_text", "1", text="Hello"), scripted.event("run_completed", "2")]]
    done = agentrt("run", "hi", "--data-dir", "elsewhere", "--log-level", "debug", AGENTRT_URL=scripted.url)
    assert done.stdout == "Hello\n"
    assert done.stderr.startswith(f"the server at {scripted.url} answers, so --data-dir, --log-level has no effect\n")


def test_a_dropped_stream_goes_on_where_it_was_and_a_finished_run_ends_it(agentrt, scripted):
    scripted.streams = [
        [b"retry: 10\n\n", scripted.event("run_started", "1"), scripted.event("text_delta", "1.3", text="Hel")],
        [scripted.event("text_delta", "1.5", text="lo"), b"event: reconnect\ndata: {}\n\n"],
        [scripted.event("final_text", "2", text="Hello"), b"id: 3\nevent: half an ev"],
        [],
        [scripted.event("run_completed", "3")],
    ]
    done = agentrt("runs", "watch", scripted.run, "--json", AGENTRT_URL=scripted.url)
    assert done.returncode == 0
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == [
        "run_started",
        "text_delta",
        "text_delta",
        "final_text",
        "run_completed",
    ]
    assert [last for _, path, _, last in scripted.asked if path.endswith("/events")] == [None, "1.3", "1.5", "2", "2"]


def test_a_failed_run_says_why_and_exits_1(agentrt, scripted):
    scripted.answers["POST /runs"] = (202, {"id": scripted.run, "agent": "default", "model": "gpt-4o", "provider": "openai"})
    scripted.streams = [[scripted.event("run_failed", "2", code="authentication", message="the key was refused")]]
    done = agentrt("run", "hi", AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "failed: the key was refused" in done.stderr


def test_ctrl_c_cancels_the_run(started, scripted):
    scripted.answers["POST /runs"] = (202, {"id": scripted.run, "agent": "default", "model": "offline", "provider": "offline"})
    scripted.answers[f"POST /runs/{scripted.run}/cancel"] = (202, {"id": scripted.run, "status": "cancelled"})
    scripted.streams = [[scripted.event("run_started", "1"), scripted.hang]]
    child = started("run", "hi", "--json", AGENTRT_URL=scripted.url)
    assert "run_started" in child.stdout.readline()
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=40)
    assert child.returncode == 1
    assert f"cancelled {scripted.run}" in err
    assert ("POST", f"/runs/{scripted.run}/cancel", {}, None) in scripted.asked


def test_what_a_tool_writes_cannot_steer_the_terminal(agentrt, scripted):
    evil = {**RESULT, "parts": [{"type": "text", "text": "\x1b]0;owned\x07\x1b[2Jhello"}]}
    scripted.streams = [
        [scripted.event("tool_completed", "1", name="t", result=evil), scripted.event("run_cancelled", "2", reason="request")]
    ]
    done = agentrt("runs", "watch", scripted.run, AGENTRT_URL=scripted.url)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert "hello" in done.stderr
    assert "cancelled (request)" in done.stderr


def test_list_asks_for_what_was_typed_and_writes_lines_for_programs(agentrt, scripted):
    run = {
        "id": scripted.run,
        "status": "completed",
        "agent": "default",
        "model": "offline",
        "provider": "offline",
        "input": "a\tb\nc",
    }
    page = {"object": "list", "data": [{**run, "created_at": "2026-01-02T03:04:05Z"}], "has_more": False, "last_id": scripted.run}
    scripted.answers["GET /runs"] = (200, page)
    done = agentrt("runs", "list", "--status", "completed", "--limit", "5", AGENTRT_URL=scripted.url, TZ="UTC")
    cells = [scripted.run, "completed", "default", "2026-01-02 03:04:05", "a b c"]
    assert done.stdout == "\t".join(cells) + "\n"
    assert scripted.asked[-1][1] == "/runs?status=completed&limit=5&order=desc"
    assert json.loads(agentrt("runs", "list", "--json", AGENTRT_URL=scripted.url).stdout) == page


def test_a_narrow_terminal_breaks_lines_and_loses_no_column_and_a_plain_one_sees_no_escapes(tmp_path, environment, scripted):
    run = {"id": scripted.run, "status": "completed", "agent": "code-executor", "input": "What is 2 + 2 * 3?"}
    page = {"object": "list", "data": [{**run, "created_at": "2026-01-02T03:04:05Z"}], "has_more": True, "last_id": scripted.run}
    scripted.answers["GET /runs"] = (200, page)
    handle, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 30, 0, 0))
    env = {**environment, "AGENTRT_URL": scripted.url, "TERM": "dumb", "TZ": "UTC"}
    command = [sys.executable, "-m", "agentrt", "runs", "list"]
    done = subprocess.run(command, stdout=terminal, stderr=terminal, cwd=tmp_path, env=env, timeout=50)
    os.close(terminal)
    said = os.read(handle, 4096).decode()
    os.close(handle)
    assert done.returncode == 0
    assert f"{scripted.run}  completed  code-executor  2026-01-02 03:04:05  What is 2 + 2 * 3?" in said
    assert "there are more" in said and "\x1b" not in said


def test_the_servers_own_sentence_is_shown_and_never_a_traceback(agentrt, scripted):
    detail = "there is no run 'nonsense'"
    scripted.answers["GET /runs/nonsense"] = (404, {"title": "Not Found", "detail": detail, "status": 404})
    done = agentrt("runs", "show", "nonsense", AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {detail}\n")
    scripted.answers["POST /runs/x/cancel"] = (502, "<h1>Bad Gateway</h1>")
    assert agentrt("runs", "cancel", "x", AGENTRT_URL=scripted.url).stderr == "Error: the server answered 502 Bad Gateway\n"


@pytest.mark.parametrize(
    ("typed", "code", "sentence"),
    [
        (["srve"], 2, "No such command 'srve'. Did you mean 'serve'?"),
        (["runs", "lst"], 2, "No such command 'lst'. Did you mean 'list'?"),
        (["runs", "show"], 2, "Missing argument 'RUN'."),
        (["run"], 2, "Missing argument 'TEXT'."),
        (["run", "What", "is", "this?"], 2, "TEXT is one argument: put it in quotes"),
        (["run", " "], 2, "there is nothing to ask: TEXT is empty"),
        (["run", "-"], 2, "there is nothing to ask: TEXT is empty"),
        (["runs", "list", "--limit", "0"], 2, "0 is not in the range 1<=x<=100."),
        (["runs", "list", "--status", "done"], 2, "'done' is not one of"),
        (["runs", "list", "--url", "http://localhost:x"], 2, "--url: expected an address such as http://127.0.0.1:8080"),
        (["runs", "list", "--url", "http://[::1"], 2, "--url: expected an address such as http://127.0.0.1:8080"),
        (
            ["runs", "list", "--url", "localhost:1"],
            2,
            "--url: expected an address such as http://127.0.0.1:8080, got",
        ),
        (["runs", "list", "--addr", "127.0.0.1:9"], 1, "no server answers at http://127.0.0.1:9: start one with `agentrt serve`"),
        (["run", "hi", "--url", "http://127.0.0.1:9"], 1, "no server answers at http://127.0.0.1:9"),
        (["serve", "--addr", "nonsense:x"], 2, "--addr: expected a port from 0 to 65535, got 'x'"),
        (["serve", "--addr", ":8080"], 2, "--allow-unauthenticated"),
        (["serve", "--log-level", "loud"], 2, "--log-level: expected one of debug, info, warning, error, got 'loud'"),
        (["serve", "--settings", "none.yaml"], 2, "none.yaml does not exist"),
    ],
)
def test_what_is_typed_wrong_gets_one_sentence(agentrt, typed, code, sentence):
    done = agentrt(*typed)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_something_else_at_the_address_is_not_taken_for_agentrt(agentrt, scripted):
    scripted.answers["GET /health"] = (200, {"ok": True})
    done = agentrt("run", "hi", AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: what answers at {scripted.url} is not agentrt: name the server with --url or AGENTRT_URL\n",
    )


def test_a_reader_that_leaves_early_is_no_error_to_shout_about(started, scripted):
    row = {"id": scripted.run, "status": "completed", "agent": "a", "model": "m", "input": "x" * 900, "created_at": None}
    scripted.answers["GET /runs"] = (200, {"data": [row] * 1000, "has_more": False})
    child = started("runs", "list", AGENTRT_URL=scripted.url)
    child.stdout.close()
    assert child.wait(30) == 1
    assert child.stderr.read() == ""


def test_a_reader_that_leaves_at_the_end_of_a_run_is_no_error_either(started, scripted):
    scripted.answers["POST /runs"] = (202, {"id": scripted.run, "agent": "default", "model": "offline", "provider": "offline"})
    detail = "the run has completed already"
    scripted.answers[f"POST /runs/{scripted.run}/cancel"] = (409, {"title": "Conflict", "detail": detail, "code": "run_ended"})
    scripted.streams = [[scripted.event("run_started", "1"), scripted.event("run_completed", "2")]]
    child = started("run", "hi", "--json", AGENTRT_URL=scripted.url)
    child.stdout.close()
    assert child.wait(30) == 1
    assert child.stderr.read() == ""


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("runs list >&-", 0, ""),
        ("chat <&-", 0, ""),
        ("runs list >/dev/full", 1, "Error: the output cannot be written: no space left on device\n"),
    ],
)
def test_streams_that_are_closed_or_full_are_no_traceback(environment, scripted, tmp_path, redirected, code, said):
    page = {"object": "list", "data": [], "has_more": False, "last_id": None}
    row = {"id": scripted.run, "status": "completed", "agent": "a", "input": "b", "created_at": "2026-01-02T03:04:05Z"}
    scripted.answers["GET /runs"] = (200, {**page, "data": [row]})
    env = {**environment, "AGENTRT_URL": f"{scripted.url}/v1"}
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m agentrt {redirected}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (code, said)


def test_ctrl_c_while_modules_are_imported_ends_it_without_a_traceback(agentrt, tmp_path):
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = agentrt("--version", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_help_comes_at_once_and_every_command_explains_itself(agentrt):
    assert agentrt("--help").stdout.startswith("Usage: agentrt")
    assert agentrt("--version").stdout.startswith("agentrt, version ")
    for command in ("serve", "chat", "run", "runs", "sessions", "config", "doctor", "image", "db", "openapi"):
        done = agentrt(command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"Usage: agentrt {command}")
