"""Every client under `examples/clients/`, run as its own text says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.live_server import LiveServer


@pytest.fixture
def run(examples_server: LiveServer, examples: Path):
    def run_(*command: str) -> str:
        env = {"PATH": os.environ["PATH"], "AGENTRT_URL": examples_server.url}
        done = subprocess.run(command, cwd=examples / "clients", env=env, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_


def test_a_chat_and_a_conversation(run):
    lines = run(sys.executable, "chat.py").splitlines()
    assert lines[0] == "2 + 2 * 3 = 8"
    assert [line.partition(",")[0] for line in lines[1:]] == ["example-chat"] * 2
    assert lines[1].endswith("my name is Ada") and lines[2].endswith("1, 2, 3")


def test_a_stream_with_what_the_agent_does(run):
    said = run(sys.executable, "stream.py")
    assert "[tool_started echo__echo]\n[tool_completed echo__echo]\nThe echo tool answered: Hello\n" in said
    assert "tokens in" in said


def test_a_function_of_the_caller(run):
    assert run(sys.executable, "caller_tools.py").splitlines() == [
        'weather({"city":"Oslo"}) → It rains in Oslo.',
        "The weather tool answered: It rains in Oslo.",
    ]


def test_a_watcher_that_loses_its_connection_reads_every_character_once(run):
    lines = run(sys.executable, "watch.py").splitlines()
    assert lines[1].startswith("dropping the connection at event 2.")
    assert lines[2:] == ["run_completed after 1 dropped connection", "600 characters, none missing, none doubled"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_a_walk_with_curl(run):
    said = run("sh", "curl.sh")
    for sign in ("The echo tool answered: Hello", "data: [DONE]", "event: run_completed", '"type":"tool"', '"role":"assistant"'):
        assert sign in said
    assert said.rstrip().endswith("204")


@pytest.mark.timeout(400)
def test_node(run, examples, npm):
    program = shutil.copy(examples / "clients" / "chat.mjs", npm.package("openai@7.55.0"))
    assert run("node", program) == "The echo tool answered: Hello\n"
