"""The paths of an earlier system: `/api/v1/pools` and `/api/v1/vms`, thin views of the same sandboxes."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from fixtures.code_server import CodeServer, served

Clients = Callable[[str], httpx2.Client]
POOL = "/api/v1/pools/code"
SERVING = ["python3", "-m", "http.server", "8000", "--bind", "127.0.0.1"]


def test_an_instance_is_acquired_used_and_released(as_user: Clients) -> None:
    http = as_user("")
    acquired = http.post(f"{POOL}/acquire", json={"user_id": "ada", "session_id": "s", "ttl_seconds": 300})
    assert acquired.status_code == 200, acquired.text
    instance = acquired.json()
    assert (instance["type"], instance["user_id"], instance["session_id"]) == ("code", "ada", "s")
    path = f"{POOL}/{instance['instance_id']}"
    done = http.post(f"{path}/execute", json={"code": "print(6 * 7)", "language": "python"}).json()
    assert (done["exit_code"], done["stdout"], done["stderr"]) == (0, "42\n", "")
    done = http.post(f"{path}/execute", json={"code": "echo hi; exit 2", "language": "bash"}).json()
    assert (done["exit_code"], done["stdout"]) == (2, "hi\n")
    stats = http.get(f"{POOL}/stats").json()
    assert set(stats) == {
        "type", "warm_instances", "active_instances", "creating_instances", "max_instances", "queue_length", "image",
    }  # fmt: skip
    assert stats["active_instances"] >= 1
    assert http.post(f"{path}/release").json() == {"instance_id": instance["instance_id"], "status": "released"}
    gone = http.post(f"{path}/execute", json={"code": "1"})
    assert gone.status_code == 404 and "Instance not found: " in gone.json()["detail"] and "released" in gone.json()["detail"]


def test_a_stream_ends_with_done(as_user: Clients) -> None:
    http = as_user("bob")
    instance = http.post(f"{POOL}/acquire", json={}).json()["instance_id"]
    text = http.post(f"{POOL}/{instance}/stream", json={"code": "print('a')\n1"}).text
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    told = [json.loads(line) for line in lines[:-1]]
    assert [one["type"] for one in told] == ["stdout", "result"]
    assert (told[0]["text"], told[1]["result"]) == ("a\n", "1")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"prompt": "hello"}, "no_code"),
        ({"prompt": "hello", "code": "1"}, "no_agents"),
        ({"code": "1", "language": "cobol"}, "unknown_language"),
        ({}, "no_code"),
    ],
)
def test_what_a_code_pool_cannot_do_is_a_clear_400(as_user: Clients, body: dict[str, Any], code: str) -> None:
    http = as_user("carol")
    instance = http.post(f"{POOL}/acquire", json={"session_id": "s"}).json()["instance_id"]
    for kind in ("execute", "stream"):
        answer = http.post(f"{POOL}/{instance}/{kind}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text


def test_a_session_without_a_name_is_refused_by_the_name_of_the_field_that_was_sent(as_user: Clients) -> None:
    refused = as_user("").post(f"{POOL}/acquire", json={"user_id": "u", "session_id": ""})
    assert (refused.status_code, refused.json()["param"]) == (400, "session_id")


def test_two_names_that_begin_alike_are_two_users(as_user: Clients) -> None:
    refused = as_user("").post(f"{POOL}/acquire", json={"user_id": "u" * 256})
    assert (refused.status_code, refused.json()["param"]) == (400, "user_id")
    refused = as_user("").post(f"{POOL}/acquire", json={"session_id": "s" * 201})
    assert (refused.status_code, refused.json()["param"]) == (400, "session_id")
    refused = as_user("u" * 256).post(f"{POOL}/acquire", json={})
    assert (refused.status_code, refused.json()["param"]) == (400, "x-user-id")


def test_another_users_instance_and_another_pool_are_not_found(as_user: Clients) -> None:
    instance = as_user("dora").post(f"{POOL}/acquire", json={}).json()["instance_id"]
    assert as_user("mallory").post(f"{POOL}/{instance}/execute", json={"code": "1"}).status_code == 404
    assert as_user("dora").post(f"/api/v1/pools/gpu/{instance}/execute", json={"code": "1"}).status_code == 404
    assert as_user("dora").get("/api/v1/pools/gpu/stats").status_code == 404
    assert as_user("dora").post(f"{POOL}/acquire", json={"user_id": "emil"}).status_code == 404


def test_an_instance_goes_after_its_time(as_user: Clients) -> None:
    http = as_user("fritz")
    instance = http.post(f"{POOL}/acquire", json={"ttl_seconds": 1}).json()["instance_id"]
    until = time.monotonic() + 30
    while (answer := http.post(f"{POOL}/{instance}/execute", json={"prompt": "there?"})).status_code != 404:
        assert time.monotonic() < until
    assert "nobody used it" in answer.json()["detail"]


def test_a_vm_serves_its_port_and_keeps_disk_and_port_over_a_stop(as_user: Clients) -> None:
    http = as_user("vera")
    body = {"cpu_count": 0.5, "memory_mb": 256, "disk_size_gb": 0.25, "container_port": 8000}
    keeps = ["bash", "-c", "date +%s%N >> starts; exec " + " ".join(SERVING)]
    created = http.post("/api/v1/vms", json={**body, "env": {"COLOUR": "blue"}, "command": keeps})
    assert created.status_code == 201, created.text
    vm = created.json()
    path = f"/api/v1/vms/{vm['vm_id']}"
    assert (vm["status"], vm["memory_mb"], vm["container_port"]) == ("stopped", 256, 8000)
    first = http.post(f"{path}/start").json()
    assert first["status"] == "running" and first["host_port"]
    assert len(served(f"{first['url']}/starts").splitlines()) == 1
    assert http.post(f"{path}/start").json()["host_port"] == first["host_port"]
    assert http.post(f"{path}/stop").json()["status"] == "stopped"
    assert http.post(f"{path}/stop").status_code == 200
    again = http.post(f"{path}/start").json()
    assert again["url"] == first["url"]
    assert len(served(f"{again['url']}/starts").splitlines()) == 2
    assert http.delete(path).json() == {"vm_id": vm["vm_id"], "status": "deleted"}
    assert http.get(f"{path}/status").status_code == 404
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(first["url"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"memory_mb": 10**9}, "memory_mb"),
        ({"memory_mb": 1}, "memory_mb"),
        ({"cpu_count": 0}, "cpu_count"),
        ({"disk_size_gb": -1}, "disk_size_gb"),
        ({"container_port": 70_000}, "container_port"),
        ({"image": "nobody/has:this"}, "image"),
        ({"env": {"A=B": "c"}}, "env"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_absurd_vm_is_refused(as_user: Clients, body: dict[str, Any], param: str) -> None:
    answer = as_user("walter").post("/api/v1/vms", json=body)
    assert (answer.status_code, answer.json().get("param")) == (400, param), answer.text
    assert "disk" not in param or "between 0.008 and 10240" in answer.json()["detail"]


def test_a_vm_whose_command_ends_says_so(as_user: Clients) -> None:
    http = as_user("willi")
    vm = http.post("/api/v1/vms", json={"memory_mb": 128, "disk_size_gb": 0.1, "command": ["there-is-no-such-program"]}).json()
    path = f"/api/v1/vms/{vm['vm_id']}"
    http.post(f"{path}/start")
    until = time.monotonic() + 30
    while (found := http.get(f"{path}/status").json())["reason"] is None:
        assert time.monotonic() < until
    assert (found["status"], found["reason"]) == ("running", "its command ended with exit code 127")
    assert http.post(f"{path}/stop").json()["reason"] is None
    http.delete(path)


def test_another_users_vm_is_not_there(as_user: Clients) -> None:
    vm = as_user("xaver").post("/api/v1/vms", json={"disk_size_gb": 0.1}).json()["vm_id"]
    mallory = as_user("mallory")
    for answer in (mallory.get(f"/api/v1/vms/{vm}/status"), mallory.delete(f"/api/v1/vms/{vm}")):
        assert (answer.status_code, answer.json()["code"]) == (404, "vm_not_found")
    xaver = as_user("xaver")
    listed = xaver.get("/api/v1/vms").json()
    assert ([one["vm_id"] for one in listed["data"]], listed["first_id"], listed["last_id"]) == ([vm], vm, vm)
    assert mallory.get("/api/v1/vms").json()["data"] == []
    hers = mallory.get(f"/api/v1/vms/{vm}/status").json()["detail"]
    assert xaver.delete(f"/api/v1/vms/{vm}").status_code == 200
    assert mallory.get(f"/api/v1/vms/{vm}/status").json()["detail"] == hers, "what is another's must look as what is not there"


def test_a_vm_that_ran_runs_again_after_a_restart_of_the_server(serve_code: Any) -> None:
    with serve_code() as server, server.client("yuri") as http:
        body = {"memory_mb": 128, "disk_size_gb": 0.1, "container_port": 8000, "command": SERVING}
        vm = http.post("/api/v1/vms", json=body).json()["vm_id"]
        url = http.post(f"/api/v1/vms/{vm}/start").json()["url"]
        served(url)
    with serve_code() as server, server.client("yuri") as http:
        served(url)
        assert http.get(f"/api/v1/vms/{vm}/status").json()["status"] == "running"
        http.delete(f"/api/v1/vms/{vm}")


def test_health_tells_of_the_engine_its_image_and_its_pools(code_server: CodeServer, code_engine: str) -> None:
    with code_server.client() as http:
        health = http.get("/health").json()
    assert health["client_initialized"] is True
    module = health["modules"]["containers"]
    assert (module["status"], module["detail"]["engine"], module["detail"]["image"]) == ("ok", code_engine, "ready")
    assert set(module["detail"]["pools"]["code"]) == {"warm", "active", "creating", "max"}
