"""Sandboxes over HTTP: what callers from outside do with them, on both engines."""

import io
import json
import threading
import zipfile
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from fixtures.code_server import CodeServer

Desks = Callable[..., Any]


def test_code_keeps_its_variables_and_its_files_until_the_sandbox_is_released(desk: Desks) -> None:
    mine = desk("ada")
    assert mine.run("x = 41\nx + 1")["result"] == "42"
    assert mine.run("print(x)")["stdout"] == "41\n"
    assert mine.run("x", stateful=False)["exit_code"] == 1
    done = mine.run("echo hello > greeting.txt; cat greeting.txt; echo oh >&2; exit 3", language="bash")
    assert (done["exit_code"], done["stdout"], done["stderr"], done["ended"]) == (3, "hello\n", "oh\n", "exited")
    (kept,) = done["artifacts"]
    assert (kept["name"], kept["media_type"], kept["size"]) == ("greeting.txt", "text/plain", 6)
    assert mine.client.get(f"/v1/files/{kept['file']}/content").text == "hello\n"
    assert mine.client.post(f"{mine.path}/release").status_code == 204
    again = desk("ada", session=mine.view["session"])
    assert again.view["id"] != mine.view["id"]
    done = again.run("print(open('greeting.txt').read())")
    assert (done["stdout"], done["state_lost"]) == ("hello\n\n", True)
    assert again.run("x")["exit_code"] == 1 and not again.run("1")["state_lost"]


def test_acquiring_twice_gives_the_same_sandbox(desk: Desks) -> None:
    first, second = desk("bob", session="s"), desk("bob", session="s")
    assert first.view["id"] == second.view["id"]
    assert first.view["id"] != desk("bob", session="t").view["id"]
    shown = first.client.get("/sandboxes").json()["data"]
    assert {view["session"] for view in shown} == {"s", "t"}
    detail = first.client.get(first.path).json()
    assert detail["disk"]["used_bytes"] < detail["disk"]["bytes"]


def test_what_is_somebody_elses_is_not_there(desk: Desks, as_user: Callable[[str], httpx2.Client]) -> None:
    theirs, me = desk("carol", session="secret"), as_user("mallory")
    path = theirs.path
    asked = [
        me.get(path),
        me.post(f"{path}/exec", json={"code": "1"}),
        me.post(f"{path}/stream", json={"code": "1"}),
        me.post(f"{path}/release"),
        me.delete(path),
        me.get(f"{path}/files"),
        me.get(f"{path}/files/a"),
        me.put(f"{path}/files/a", content=b"x", headers={"content-type": "application/octet-stream"}),
        me.get(f"{path}/zip"),
        me.get(f"{path}/log"),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in asked} == {(404, "sandbox_not_found")}
    assert me.get("/sandboxes").json()["data"] == []
    own = me.post("/sandboxes", json={"session": "secret"}).json()
    assert own["id"] != theirs.view["id"]


def test_every_execution_is_a_run_that_can_be_looked_at(desk: Desks) -> None:
    mine = desk("dora")
    answer = mine.ask("print('a')\nopen('b.csv', 'w').write('1,2')")
    run_id = answer.headers["x-run-id"]
    assert answer.json()["run_id"] == run_id
    run = mine.client.get(f"/runs/{run_id}").json()
    assert (run["status"], run["agent"], run["metadata"]) == ("completed", "sandbox", {"sandbox": mine.view["id"]})
    (step,) = mine.client.get(f"/runs/{run_id}/steps").json()["data"]
    assert (step["type"], step["name"], step["status"]) == ("tool", "execute_python", "completed")
    (made,) = mine.client.get(f"/runs/{run_id}/artifacts").json()["data"]
    assert (made["name"], made["size"], made["call_id"]) == ("b.csv", 3, step["call_id"])
    events = mine.client.get(f"/runs/{run_id}/events").text
    for name in ("run_started", "tool_started", "tool_stdout", "artifact_created", "tool_completed", "run_completed"):
        assert f"event: {name}\n" in events
    log = mine.client.get(f"{mine.path}/log").json()
    (line,) = log["data"]
    assert (log["first_id"], log["last_id"]) == (line["run_id"], line["run_id"])
    assert (line["run_id"], line["exit_code"]) == (run_id, 0)


def test_output_is_streamed_as_it_comes(desk: Desks) -> None:
    mine = desk("emil")
    code = "import sys, time\nprint(1, flush=True)\nprint(2, file=sys.stderr)\nopen('c.txt', 'w').write('c')\n3"
    with mine.client.stream("POST", f"{mine.path}/stream", json={"code": code}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [block for block in "".join(answer.iter_text()).split("\n\n") if block.startswith("event: ")]
    told = [(block.split("\n")[0][7:], json.loads(block.split("data: ")[1])) for block in events]
    assert {name for name, _ in told[:-1]} == {"stdout", "stderr", "artifact"}
    name, result = told[-1]
    assert (name, result["exit_code"], result["result"], result["stdout"]) == ("result", 0, "3", "1\n")


def test_a_reader_who_hangs_up_ends_the_execution(desk: Desks) -> None:
    mine = desk("fritz")
    code = "import time\nprint('begun', flush=True)\ntime.sleep(60)"
    with mine.client.stream("POST", f"{mine.path}/stream", json={"code": code}) as answer:
        assert any("begun" in text for text in answer.iter_text())
    assert mine.run("1 + 1", timeout_s=20)["result"] == "2"
    runs = mine.client.get("/runs", params={"status": "cancelled"}).json()["data"]
    assert [run for run in runs if run["metadata"].get("sandbox") == mine.view["id"]]


def test_a_run_can_be_cancelled_by_its_id(desk: Desks, code_server: CodeServer) -> None:
    mine = desk("gina")
    answers: list[httpx2.Response] = []
    working = threading.Thread(target=lambda: answers.append(mine.ask("import time; time.sleep(60)")))
    working.start()
    with code_server.client("gina") as other:
        while not (live := _of(other.get("/runs", params={"status": "running"}).json()["data"], mine.view["id"])):
            pass
        assert other.post(f"/runs/{live[0]['id']}/cancel").json()["status"] == "cancelled"
    working.join(30)
    assert (answers[0].status_code, answers[0].json()["code"]) == (409, "cancelled")


def _of(runs: list[dict[str, Any]], sandbox: str) -> list[dict[str, Any]]:
    return [run for run in runs if run["metadata"].get("sandbox") == sandbox]


def test_an_execution_with_a_key_is_made_once(desk: Desks) -> None:
    mine = desk("greta")
    once: dict[str, Any] = {"headers": {"Idempotency-Key": "k-1"}, "json": {"code": "n = globals().get('n', 0) + 1\nn"}}
    first, again = (mine.client.post(f"{mine.path}/exec", **once) for _ in range(2))
    assert (first.json()["result"], again.json()["result"]) == ("1", "1")
    assert first.json()["run_id"] == again.json()["run_id"]
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    other = mine.client.post(f"{mine.path}/exec", **{**once, "json": {"code": "2"}})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")


def test_a_stream_with_a_key_is_made_once_and_who_joined_it_does_not_end_it(desk: Desks) -> None:
    mine = desk("gerd")
    code = "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('done')"
    once: dict[str, Any] = {"headers": {"Idempotency-Key": "k-2"}, "json": {"code": code}}
    with mine.client.stream("POST", f"{mine.path}/stream", **once) as answer:
        lines = answer.iter_lines()
        assert any("begun" in line for line in lines)
        with mine.client.stream("POST", f"{mine.path}/stream", **once) as joined:
            assert next(joined.iter_lines()).startswith("retry:")
        mine.client.put(f"{mine.path}/files/go", content=b"")
        last = json.loads([line for line in lines if line.startswith("data: ")][-1][6:])
    assert (last["type"], last["stdout"]) == ("result", "begun\ndone\n")
    again = mine.client.post(f"{mine.path}/stream", **once).text
    assert "event: stdout" not in again and f'"run_id":"{last["run_id"]}"' in again
    other = mine.client.post(f"{mine.path}/stream", **{**once, "json": {"code": "2"}}).text
    assert "event: error" in other and "idempotency_mismatch" in other


def test_files_go_in_and_out(desk: Desks) -> None:
    mine = desk("hugo")
    octets = {"content-type": "application/octet-stream"}
    put = mine.client.put(f"{mine.path}/files/data/in.bin", content=bytes(range(256)), headers=octets)
    assert (put.status_code, put.json()["size"], put.json()["path"]) == (200, 256, "data/in.bin")
    assert mine.run("open('data/in.bin', 'rb').read() == bytes(range(256))")["result"] == "True"
    mine.run("open('out.txt', 'w').write('ö')")
    got = mine.client.get(f"{mine.path}/files/out.txt")
    assert (got.content, got.headers["content-type"]) == ("ö".encode(), "application/octet-stream")
    assert got.headers["content-disposition"].startswith("attachment") and got.headers["x-content-type-options"] == "nosniff"
    listed = mine.client.get(f"{mine.path}/files", params={"recursive": True}).json()
    assert [(entry["path"], entry["type"]) for entry in listed["data"]] == [
        ("data", "folder"), ("data/in.bin", "file"), ("out.txt", "file"),
    ]  # fmt: skip
    assert (listed["first_id"], listed["last_id"]) == ("data", "out.txt")
    found = mine.client.get(f"{mine.path}/files", params={"glob": "**/*.bin"}).json()["data"]
    assert [entry["path"] for entry in found] == ["data/in.bin"]
    packed = zipfile.ZipFile(io.BytesIO(mine.client.get(f"{mine.path}/zip").content))
    assert packed.namelist() == ["data/in.bin", "out.txt"]
    assert mine.client.delete(f"{mine.path}/files/data").status_code in (400, 409)
    mistyped = mine.client.delete(f"{mine.path}/files/data", params={"recursiv": True})
    assert (mistyped.status_code, mistyped.json()["param"]) == (400, "recursiv")
    assert mine.client.delete(f"{mine.path}/files/data", params={"recursive": True}).status_code == 204
    assert mine.client.get(f"{mine.path}/files/data/in.bin").status_code == 404


def test_an_uploaded_file_is_put_into_the_workspace(desk: Desks) -> None:
    mine = desk("ida")
    kept = mine.run("open('first.txt', 'w').write('again')")["artifacts"][0]["file"]
    attached = mine.client.post(f"{mine.path}/files", json={"file_id": kept, "path": "sub/second.txt"})
    assert (attached.status_code, attached.json()["path"]) == (201, "sub/second.txt")
    assert mine.run("open('sub/second.txt').read()")["result"] == "'again'"
    into = mine.client.post(f"{mine.path}/files", json={"file_id": kept, "path": "folder/"})
    assert into.json()["path"] == "folder/first.txt"
    assert mine.client.post(f"{mine.path}/files", json={"file_id": "file_" + "0" * 32}).status_code == 404


def test_an_uploaded_archive_is_unpacked_and_a_hostile_one_refused_whole(desk: Desks) -> None:
    mine = desk("ivy")

    def packed(**files: str) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            for name, text in files.items():
                out.writestr(name.replace("_up_", "../"), text)
        sent = {"file": ("data.zip", archive.getvalue())}
        return mine.client.post("/v1/files", files=sent, data={"purpose": "user_data"}).json()["id"]

    good = mine.client.post(f"{mine.path}/unpack", json={"file_id": packed(one="1", two="22"), "path": "in"})
    assert (good.status_code, good.json()) == (201, {"paths": ["in/one", "in/two"], "files": 2})
    assert mine.run("open('in/two').read()")["result"] == "'22'"
    bad = mine.client.post(f"{mine.path}/unpack", json={"file_id": packed(fine="1", _up_out="2"), "path": "bad"})
    assert bad.status_code == 400 and "out" in bad.json()["detail"]
    assert mine.client.get(f"{mine.path}/files/bad/fine").status_code == 404


def test_a_users_sessions_share_a_workspace_where_that_was_asked_for(desk: Desks) -> None:
    one, two = desk("jan", session="1", workspace="user"), desk("jan", session="2", workspace="user")
    assert one.view["id"] == two.view["id"] and one.view["session"] is None
    nobody, other = desk("", session="1", workspace="user"), desk("", session="2", workspace="user")
    assert nobody.view["id"] != other.view["id"]


def test_with_its_files_a_sandbox_is_gone_for_good(desk: Desks) -> None:
    mine = desk("kim", session="s")
    mine.run("open('a', 'w').write('a')")
    assert mine.client.delete(mine.path, params={"files": True}).status_code == 204
    again = desk("kim", session="s")
    assert again.client.get(f"{again.path}/files").json()["data"] == []
    assert not again.run("1")["state_lost"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"code": "1", "language": "ruby"}, 400, "unknown_language"),
        ({"code": ""}, 400, "no_code"),
        ({"code": "x" * (1024 * 1024 + 1)}, 400, "code_too_large"),
        ({"code": "x = '\x00'"}, 400, "nul_in_code"),
        ({"code": "1", "timeout_s": 0}, 400, "invalid_timeout"),
        ({"code": "1", "timeout_s": 1e9}, 400, "invalid_timeout"),
        ({"code": "1", "lang": "python"}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
    ],
    ids=["language", "nothing", "huge", "nul", "no time", "all time", "unknown field", "empty"],
)
def test_bad_input_is_one_clear_error(desk: Desks, body: dict[str, Any], status: int, code: str) -> None:
    mine = desk("lea")
    answer = mine.client.post(f"{mine.path}/exec", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize("path", ["%2e%2e/etc/passwd", "a%0Ab", "a%00b", "x" * 300], ids=lambda p: p[:12])
def test_a_path_that_is_none_is_refused(desk: Desks, path: str) -> None:
    mine = desk("mia")
    octets = {"content-type": "application/octet-stream"}
    for answer in (
        mine.client.get(f"{mine.path}/files/{path}"),
        mine.client.put(f"{mine.path}/files/{path}", content=b"x", headers=octets),
    ):
        assert answer.status_code in (400, 404), answer.text
        assert "/data/" not in answer.text


def test_releasing_twice_and_using_what_is_gone_say_so(desk: Desks) -> None:
    mine = desk("nils")
    assert mine.client.post(f"{mine.path}/release").status_code == 204
    for answer in (mine.client.post(f"{mine.path}/release"), mine.ask("1"), mine.client.get(mine.path)):
        assert (answer.status_code, answer.json()["code"]) == (404, "sandbox_not_found")
        assert "released" in answer.json()["detail"]
    unknown = mine.client.post("/sandboxes/sbx_nothing/exec", json={"code": "1"})
    assert unknown.status_code == 404


def test_a_pool_that_is_not_there_is_named(as_user: Callable[[str], httpx2.Client]) -> None:
    answer = as_user("otto").post("/sandboxes", json={"pool": "gpu"})
    assert (answer.status_code, answer.json()["code"]) == (404, "pool_not_found")
    assert "code" in answer.json()["detail"]
