"""Workspaces after a restart with other settings: they follow their pool, and a nearly full disk takes no new ones."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fixtures.code_server import CodeServer, environment
from fixtures.postgres import free_port

pytestmark = pytest.mark.timeout(120)
ServeCode = Callable[..., Any]
DISK_MB = "AGENTRT_CONTAINERS__POOLS__CODE__LIMITS__DISK_MB"
FILLS = "head -c 20M /dev/zero >big; stat -c %s big"


def execute(http: httpx2.Client, code: str, language: str = "bash") -> dict[str, Any]:
    sandbox = http.post("/sandboxes", json={"session": "s"})
    assert sandbox.status_code == 200, sandbox.text
    answer = http.post(f"/sandboxes/{sandbox.json()['id']}/exec", json={"code": code, "language": language})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_larger_limit_makes_room_for_who_was_there_before(serve_code: ServeCode, tmp_path: Path) -> None:
    with serve_code(**{DISK_MB: "16"}) as server, server.client("ada") as http:
        execute(http, "echo kept >kept.txt")
        assert "No space left on device" in execute(http, FILLS)["stderr"]
    until_nobody_holds_a_volume(tmp_path)
    with serve_code(**{DISK_MB: "64"}) as server, server.client("ada") as http:
        assert execute(http, f"{FILLS}; cat kept.txt")["stdout"] == f"{20 * 2**20}\nkept\n"


def test_where_the_disk_is_nearly_full_who_is_new_is_refused_and_the_rest_goes_on(
    serve_code: ServeCode, code_engine: str, tmp_path: Path
) -> None:
    with serve_code() as server, server.client("ada") as http:
        execute(http, "echo kept >kept.txt")
    more_than_any_disk = {"AGENTRT_CONTAINERS__KEEP_FREE_MB": "1000000000"}
    server = CodeServer(tmp_path, (), environment(code_engine, tmp_path) | more_than_any_disk, free_port())
    try:
        server.wait_healthy()
        with server.client("ada") as ada, server.client("bert") as bert:
            module = containers(ada)
            assert module["status"] == "degraded" and "less than 1000000000 MiB free" in module["detail"]["reason"]
            assert execute(ada, "cat kept.txt")["stdout"] == "kept\n"
            refused = bert.post("/sandboxes", json={"session": "s"})
            assert (refused.status_code, refused.json()["code"]) == (503, "disk_full")
            vm = bert.post("/api/v1/vms", json={"disk_size_gb": 0.1})
            assert (vm.status_code, vm.json()["code"]) == (503, "disk_full")
            # a refused caller takes no container along
            assert containers(ada)["detail"]["pools"]["code"]["active"] == 1
        command = [sys.executable, "-m", "agentrt", "doctor", "--url", server.url]
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False).stdout
        assert "no new one is made" in said, said
        assert server.terminate(30) == 0, server.log
    finally:
        if server.process.poll() is None:
            server.kill()


def until_nobody_holds_a_volume(home: Path) -> None:
    """The kernel takes its time; one that is held still keeps its size until it is opened again."""
    until = time.monotonic() + 60
    for image in (home / "data").rglob("volume.img"):
        while subprocess.run(["losetup", "-j", str(image)], capture_output=True, check=True).stdout:
            assert time.monotonic() < until


def containers(http: httpx2.Client) -> dict[str, Any]:
    """What `/health` says of them, once it is known."""
    until = time.monotonic() + 60
    while True:
        module = http.get("/health").json()["modules"]["containers"]
        if module["status"] != "starting" and module["detail"].get("pools"):
            return module
        assert time.monotonic() < until, module
