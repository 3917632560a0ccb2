"""Skills as code in a sandbox sees them."""

import time
from pathlib import Path

import httpx2

from agentrt.containers import runtime_of
from fixtures.code_server import ServeCode

LIST = "Execute this Python code: import os; print('seen:', *sorted(os.listdir('/skills/greeting')), '.')"


def listed(http: httpx2.Client) -> str:
    asked = {"model": "code-executor", "user": "ada", "messages": [{"role": "user", "content": LIST}]}
    answer = http.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"].partition("seen: ")[2].partition(" .")[0]


def test_a_box_that_runs_sees_what_is_saved_and_a_server_that_ends_takes_its_copies_along(
    serve_code: ServeCode, tmp_path: Path
) -> None:
    skill = tmp_path / "skills" / "greeting"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: greeting\ndescription: How to greet.\n---\nSay hello.\n")
    with serve_code(AGENTRT_SKILLS=str(skill.parent)) as server, server.client("ada") as http:
        assert listed(http) == "SKILL.md"
        (skill / "more.md").write_text("And goodbye.")
        until = time.monotonic() + 30
        while not server.rootless and listed(http) != "SKILL.md more.md":  # else nothing can be mounted into a box that runs
            assert time.monotonic() < until
        copies = runtime_of(tmp_path / "data" / "containers") / "skills"
        assert copies.is_dir()
    assert not copies.exists()
