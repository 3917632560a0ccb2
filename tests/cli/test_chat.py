import json
import os
import pty
import signal
import subprocess
import sys

import pytest


@pytest.fixture
def chunk(scripted):
    """A chunk of a chat completion as the server writes it: text, or a run's event beside it."""

    def write(text: str | None = None, event: dict | None = None, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "agent", "choices": [choice]}
        if event:
            body |= {"choices": [], "agentrt": {"seq": 1, "run_id": scripted.run, **event}}
        return f"data: {json.dumps(body)}\n\n".encode()

    return write


DONE = b"data: [DONE]\n\n"
CALL = {"type": "tool_started", "call_id": "c", "name": "echo__echo", "arguments": "{}"}
FINAL = {"type": "final_text", "text": "Hello"}
COMPLETED = {"type": "run_completed", "finish_reason": "stop"}


def test_every_line_is_a_turn_of_one_session_and_tools_are_shown(agentrt, scripted, chunk):
    scripted.answers["POST /sessions"] = (201, {"id": scripted.session})
    scripted.streams = [
        [
            chunk(event=CALL),
            chunk("Hel"),
            chunk("lo"),
            chunk(event=FINAL),
            chunk(finish="stop"),
            DONE,
        ],
        [chunk("and again"), chunk(event=COMPLETED), chunk(finish="stop"), DONE],
    ]
    done = agentrt("chat", "--agent", "helper", "--model", "openai/m", stdin="hi\n\nyou \\\nthere\n", AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stdout) == (0, "Hello\nand again\n")
    assert done.stderr == "→ echo__echo {}\n"
    sent = [body for method, path, body, _ in scripted.asked if path == "/v1/chat/completions"]
    assert [body["messages"] for body in sent] == [[{"role": "user", "content": text}] for text in ("hi", "you \nthere")]
    assert {body["model"] for body in sent} == {"helper:openai/m"}
    assert sum(path == "/sessions" for _, path, _, _ in scripted.asked) == 1


def test_an_error_is_one_sentence_and_the_conversation_goes_on(agentrt, scripted, chunk):
    scripted.streams = [
        [b'data: {"error":{"message":"the model is overloaded","type":"server_error","code":"overloaded","param":null}}\n\n'],
        [chunk("fine now"), chunk(finish="stop"), DONE],
    ]
    args = ("chat", "--session", scripted.session)
    done = agentrt(*args, stdin='one\n"""\ntwo\nlines\n"""\n/exit\nthree\n', AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine now\n", "Error: the model is overloaded\n")
    sent = [body["messages"][0]["content"] for _, path, body, _ in scripted.asked if path == "/v1/chat/completions"]
    assert sent == ["one", "two\nlines"]


def test_what_begins_with_a_slash_is_for_the_terminal(agentrt, scripted, chunk):
    scripted.streams = [[chunk("hi"), chunk(finish="stop"), DONE]]
    scripted.answers["POST /sessions"] = (201, {"id": scripted.session})
    typed = "/help\n/agent other\n/model offline/x\n/new\nhello\n/model\n"
    done = agentrt("chat", stdin=typed, AGENTRT_URL=scripted.url)
    assert done.returncode == 0
    assert "/exit" in done.stderr
    assert done.stderr.splitlines()[-4:] == [
        "talking to other",
        "talking to other:offline/x",
        "a new session",
        "talking to other",
    ]


def test_on_a_terminal_text_streams_and_ctrl_c_stops_the_answer_not_the_conversation(tmp_path, environment, scripted, chunk):
    scripted.answers["POST /sessions"] = (201, {"id": scripted.session})
    scripted.streams = [[chunk("Once upon"), scripted.hang], [chunk("again"), chunk(finish="stop"), DONE]]
    handle, terminal = pty.openpty()
    screen = Screen(handle)
    child = subprocess.Popen(
        [sys.executable, "-m", "agentrt", "chat"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=tmp_path,
        env={**environment, "AGENTRT_URL": scripted.url, "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(terminal)
    try:
        screen.wait_for("/exit leaves.")
        screen.wait_for("> ")
        screen.type("tell me a story\n")
        screen.wait_for("Once upon")
        os.kill(child.pid, signal.SIGINT)
        screen.wait_for("stopped")
        screen.wait_for("> ")
        screen.type("and now?\n")
        screen.wait_for("again")
        screen.wait_for("> ")
        screen.type("\x04")
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
        os.close(handle)


class Screen:
    """What a terminal shows. The test's own time limit ends a wait for what never comes."""

    def __init__(self, handle: int) -> None:
        self._handle, self._unread = handle, ""

    def wait_for(self, words: str) -> None:
        """Read on until `words` stand there; what comes after them is for the next wait."""
        while words not in self._unread:
            self._unread += os.read(self._handle, 4096).decode(errors="replace")
        self._unread = self._unread.partition(words)[2]

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())
