"""What models do wrong with the code tools: one clear sentence each, and the next call works."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from fixtures.code_server import CodeServer

Use = Callable[..., dict[str, Any]]


@pytest.fixture
def use(code_server: CodeServer) -> Use:
    """Has the offline model call a tool with these arguments; its result, as the run recorded it."""

    def call(tool: str, user: str = "tools", **arguments: Any) -> dict[str, Any]:
        body = {
            "model": "code-executor",
            "user": user,
            "messages": [{"role": "user", "content": f"use {tool} with {json.dumps(arguments)}"}],
        }
        with code_server.client(user) as http:
            answer = http.post("/v1/chat/completions", json=body)
            events = http.get(f"/runs/{answer.headers['x-run-id']}/events").text
        return next(
            json.loads(line[6:])["result"] for line in events.splitlines() if '"type":"tool_' in line and '"result"' in line
        )

    return call


def told(result: dict[str, Any]) -> str:
    return "\n".join(part.get("text", "") for part in result["parts"])


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("execute_python", {"code": 5}, "execute_python: expected `str`, got `int` - at `$.code`"),
        ("execute_python", {"code": " "}, "there is no code to execute"),
        ("execute_python", {"code": "1", "timeout_s": -1}, "timeout_s must be more than 0 and at most 120"),
        ("execute_python", {"code": "1", "timeout_s": 100_000}, "timeout_s must be more than 0 and at most 120"),
        ("execute_python", {"code": "1", "lang": "x"}, "unknown field `lang`"),
        ("execute_python", {"code": "a = '\x00'"}, "the code holds a NUL byte"),
        ("execute_bash", {"command": ""}, "there is no command to execute"),
        ("read_file", {"path": "nowhere.txt"}, "nowhere.txt"),
        ("read_file", {"path": "../secret"}, "leads out of the workspace"),
        ("read_file", {"path": "/etc/passwd"}, "is absolute"),
        ("write_file", {"path": "a\nb", "content": ""}, "holds a control character"),
        ("edit_file", {"path": "nowhere.txt", "old_text": "a", "new_text": "b"}, "nowhere.txt"),
        ("delete_file", {"path": "."}, "cannot be deleted"),
        ("list_files", {"path": "nowhere"}, "nowhere"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_a_mistake_is_told_in_one_sentence(use: Use, tool: str, arguments: dict[str, Any], said: str) -> None:
    result = use(tool, **arguments)
    assert result["is_error"] and said in told(result), told(result)
    assert "Traceback" not in told(result) and "/data/" not in told(result)


def test_a_text_that_occurs_twice_is_not_edited_by_guess(use: Use) -> None:
    use("write_file", user="editor", path="t.txt", content="one two one")
    twice = use("edit_file", user="editor", path="t.txt", old_text="one", new_text="1")
    assert twice["is_error"] and "occurs 2 times" in told(twice)
    missing = use("edit_file", user="editor", path="t.txt", old_text="three", new_text="3")
    assert missing["is_error"] and "does not occur" in told(missing)
    done = use("edit_file", user="editor", path="t.txt", old_text="one", new_text="1", replace_all=True)
    assert not done.get("is_error")
    read = use("read_file", user="editor", path="/workspace/t.txt")
    assert (told(read), read["structured"]["total_lines"]) == ("1 two 1", 1)


def test_an_edit_that_would_make_gigabytes_is_refused_before_it_is_made(use: Use) -> None:
    use("execute_python", user="bomber", code="open('a.txt', 'w').write('a' * 8_000_000)")
    bomb = use("edit_file", user="bomber", path="a.txt", old_text="a", new_text="b" * 100, replace_all=True)
    assert bomb["is_error"] and "would be larger than" in told(bomb)


def test_millions_of_lines_are_counted_and_few_of_them_read(use: Use) -> None:
    use("execute_python", user="liner", code="open('n.txt', 'w').write('a\\n' * 8_000_000)")
    some = use("read_file", user="liner", path="n.txt", offset=7_999_999, limit=5)
    assert told(some) == "a\na\n"
    assert (some["structured"]["lines"], some["structured"]["total_lines"]) == (2, 8_000_000)


def test_lines_of_a_file_are_read_by_number(use: Use) -> None:
    use("write_file", user="reader", path="l.txt", content="a\nb\nc\nd\n")
    some = use("read_file", user="reader", path="l.txt", offset=2, limit=2)
    assert (told(some), some["structured"]["first_line"], some["structured"]["total_lines"]) == ("b\nc\n", 2, 4)


def test_a_binary_file_is_not_read_as_text_and_a_picture_is_shown(use: Use) -> None:
    use("execute_python", user="viewer", code="open('b.bin', 'wb').write(bytes(100)); import matplotlib.pyplot as p; p.plot([1])")
    binary = use("read_file", user="viewer", path="b.bin")
    assert binary["is_error"] and "binary file of 100 bytes" in told(binary)
    shown = use("read_file", user="viewer", path="figure-1.png")
    assert [part["type"] for part in shown["parts"]] == ["text", "image"]


def test_a_figure_comes_back_as_a_picture_for_the_model(use: Use) -> None:
    drawn = use("execute_python", user="painter", code="import matplotlib.pyplot as p\np.plot([1, 2])\nprint('drawn')")
    assert [part["type"] for part in drawn["parts"]] == ["text", "image"]
    assert drawn["structured"]["artifacts"][0]["media_type"] == "image/png"


def test_the_contract_of_a_result(use: Use) -> None:
    done = use("execute_python", user="contract", code="import sys\nprint('o')\nprint('e', file=sys.stderr)\n[1]")
    structured = done["structured"]
    duration = structured.pop("duration_ms")
    assert duration > 0
    assert structured == {
        "exit_code": 0,
        "stdout": "o\n",
        "stderr": "e\n",
        "result": "[1]",
        "artifacts": [],
        "not_kept": [],
        "truncated": False,
        "state_lost": False,
        "ended": "exited",
    }


def test_an_alias_of_an_earlier_system_allows_the_tool(serve_code: Any, tmp_path: Any) -> None:
    (tmp_path / "agents").mkdir()
    text = "name: default\nmodel: offline/offline\ntools: [bash_execute]\n"
    (tmp_path / "agents" / "default.yaml").write_text(text)
    with serve_code(AGENTRT_CONFIG=str(tmp_path / "agents")) as server, server.client() as http:
        body = {"model": "default", "messages": [{"role": "user", "content": "Run this shell command: echo hi"}]}
        answer: httpx2.Response = http.post("/v1/chat/completions", json=body)
        assert answer.json()["choices"][0]["message"]["content"].endswith("hi")
