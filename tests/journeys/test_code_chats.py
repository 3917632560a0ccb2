"""People ask the code agent over OpenAI's API, with the official SDK, and code really runs."""

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from agentrt.kernel import share
from fixtures.code_server import CodeServer

ASK = "Execute this Python code: "


@pytest.fixture
def client(code_server: CodeServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=code_server.url + "/v1", api_key="-", max_retries=0, timeout=60) as client:
        yield client


def ask(client: openai.OpenAI, text: str, user: str = "", model: str = "code-executor", **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.with_raw_response.create(model=model, messages=messages, user=user or openai.omit, **more)


def answer(raw: Any) -> str:
    return raw.parse().choices[0].message.content


@pytest.mark.parametrize("model", ["code-executor", "default"])
def test_print_two_and_two_streams_four(client: openai.OpenAI, model: str) -> None:
    messages: Any = [{"role": "user", "content": ASK + "print(2 + 2)"}]
    chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.strip().endswith("4") and "No code tool" not in text
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_run_shows_what_was_executed_and_what_came_out(client: openai.OpenAI, code_server: CodeServer) -> None:
    raw = ask(client, ASK + "print(2 + 2)")
    with code_server.client() as http:
        (_, step, _) = http.get(f"/runs/{raw.headers['x-run-id']}/steps").json()["data"]
        assert (step["name"], step["status"]) == ("execute_python", "completed")
        events = http.get(f"/runs/{raw.headers['x-run-id']}/events").text
    (done,) = [json.loads(line[6:]) for line in events.splitlines() if '"type":"tool_completed"' in line]
    structured = done["result"]["structured"]
    assert {name: structured[name] for name in ("exit_code", "stdout", "stderr", "truncated", "state_lost")} == {
        "exit_code": 0, "stdout": "4\n", "stderr": "", "truncated": False, "state_lost": False,
    }  # fmt: skip


def test_a_script_is_written_executed_and_its_result_read(client: openai.OpenAI) -> None:
    script = "with open('result.txt', 'w') as f: f.write(str(sum(range(10))))"
    written = {"path": "job/script.py", "content": script}
    assert "wrote" in answer(ask(client, f"use write_file with {json.dumps(written)}", "writer"))
    assert "ran" in answer(ask(client, "Run this shell command: cd job && python3 script.py", "writer"))
    assert "45" in answer(ask(client, 'use read_file with {"path": "job/result.txt"}', "writer"))
    edited = {"path": "job/script.py", "old_text": "range(10)", "new_text": "range(5)"}
    assert "wrote" in answer(ask(client, f"use edit_file with {json.dumps(edited)}", "writer"))
    assert "10" in answer(ask(client, "Run this shell command: cd job && python3 script.py && cat result.txt", "writer"))
    assert "job/result.txt" in answer(ask(client, 'use glob_files with {"pattern": "**/*.txt"}', "writer"))
    assert "deleted" in answer(ask(client, 'use delete_file with {"path": "/workspace/job/result.txt"}', "writer"))
    listed = answer(ask(client, 'use list_files with {"path": "job"}', "writer"))
    assert "script.py" in listed and "result.txt" not in listed


def test_numpy_is_there(client: openai.OpenAI) -> None:
    said = answer(ask(client, ASK + "import numpy as np\nprint(np.eye(3))"))
    assert "[[1. 0. 0.]\n [0. 1. 0.]\n [0. 0. 1.]]" in said


def test_two_turns_of_one_user_work_on_one_file_and_one_interpreter(client: openai.OpenAI) -> None:
    first = ask(client, ASK + "x = 6; open('note.txt', 'w').write('remember me')", "twice")
    second = ask(client, ASK + "print(x * 7, open('note.txt').read())", "twice")
    assert first.headers["x-session-id"] == second.headers["x-session-id"]
    assert "42 remember me" in answer(second)


def test_two_users_at_once_cannot_see_each_other(client: openai.OpenAI) -> None:
    def work(user: str) -> list[str]:
        asked = (f"secret = '{user}'; open('secret.txt', 'w').write(secret)", "import os; print(os.listdir('.'), secret)")
        return [answer(ask(client, ASK + code, user)) for code in asked]

    with ThreadPoolExecutor() as threads:
        results = list(threads.map(work, ["user-one", "user-two"]))
    for user, (_, said) in zip(["user-one", "user-two"], results, strict=True):
        assert f"['secret.txt'] {user}" in said
    assert "NameError" in answer(ask(client, ASK + "print(secret)", "user-three"))


def test_without_a_session_nothing_is_left_of_a_run(client: openai.OpenAI, code_server: CodeServer) -> None:
    ask(client, ASK + "open('a', 'w').write('a')")
    assert "[]" in answer(ask(client, ASK + "import os; print(os.listdir('.'))"))
    with code_server.client() as http:
        while http.get("/sandboxes").json()["data"]:
            pass


def test_a_chart_is_an_artifact_that_can_be_downloaded(client: openai.OpenAI, code_server: CodeServer) -> None:
    raw = ask(client, ASK + "import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [3, 5])\nplt.show()", "artist")
    assert "figure-1.png" in answer(raw)
    with code_server.client("artist") as http:
        (made,) = http.get(f"/runs/{raw.headers['x-run-id']}/artifacts").json()["data"]
        assert (made["name"], made["media_type"]) == ("figure-1.png", "image/png")
        (sandbox,) = http.get("/sandboxes").json()["data"]
        packed = zipfile.ZipFile(io.BytesIO(http.get(f"/sandboxes/{sandbox['id']}/zip").content))
    assert packed.namelist() == ["figure-1.png"]
    content = client.files.content(made["file"]).content
    assert content.startswith(b"\x89PNG") and len(content) == made["size"]


def test_code_that_fails_says_why(client: openai.OpenAI) -> None:
    said = answer(ask(client, ASK + "1 / 0", "unlucky"))
    assert "ZeroDivisionError" in said
    assert "exit code 3" in answer(ask(client, "Run this shell command: exit 3", "unlucky"))
    assert "memory limit" in answer(ask(client, ASK + "many = [b'x' * 10**7 for _ in range(1000)]", "unlucky"))


def test_nothing_that_is_mounted_tells_where_the_server_and_its_files_lie(client: openai.OpenAI, code_server: CodeServer) -> None:
    """Neither the image nor the workspace, the runner and the skills; these are there."""
    if code_server.rootless:
        pytest.skip("without root folders show by their paths, as the documents say")
    told = answer(ask(client, ASK + "import os; print(sorted(os.listdir('/skills')), open('/proc/self/mountinfo').read())"))
    assert "data-analysis" in told
    assert all(f" {place} " in told for place in ("/skills", "/workspace", "/opt/agentrt/runner"))
    assert not any(str(place) in told for place in (code_server.home, share(), Path(__file__).parents[2]))
