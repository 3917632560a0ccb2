"""What code in a box does to its own files, its own results and its own port, in order to hurt the server or those beside it."""

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2

from agentrt.runs.output import FLUSH_BYTES, FLUSH_S, MOST_PIECES
from fixtures.code_server import CodeServer, served
from fixtures.dockerd import docker_address

Clients = Callable[[str], httpx2.Client]
Desks = Callable[..., Any]

LEASED = """
import fcntl, signal
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = []
for n in range(8):
    file = open(f'leased{n}.txt', 'w')
    held.append(file)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
"""


def test_a_file_that_code_leases_to_itself_keeps_nobody_waiting(desk: Desks) -> None:
    mine = desk("ada")
    began = time.monotonic()
    done = mine.run(LEASED)
    assert done["exit_code"] == 0, done["stderr"]
    assert done["artifacts"] == [] and len(done["not_kept"]) == 8
    refused = mine.client.get(f"{mine.path}/files/leased0.txt")
    assert refused.status_code == 400 and "is held by" in refused.json()["detail"]
    assert time.monotonic() - began < 40, "the kernel takes a lease away after 45 s"


def test_files_that_seem_huge_cost_nothing(desk: Desks) -> None:
    mine = desk("bob")
    code = "import os\nfor n in range(2000):\n    with open(f'{n:04}.bin', 'w') as file: os.truncate(file.fileno(), 1 << 40)"
    done = mine.run(code)
    assert done["exit_code"] == 0 and done["artifacts"] == []


def test_names_without_end_are_not_told_without_end(desk: Desks) -> None:
    mine = desk("carol")
    code = "import os\nfolder = '/'.join(['d' * 200] * 15)\nos.makedirs(folder)\nos.chdir(folder)\n"
    code += "for n in range(3000): open('f' * 200 + str(n), 'w').close()"
    done = mine.ask(code)
    assert done.json()["exit_code"] == 0
    assert len(done.content) < 500_000
    listed = mine.client.get(f"{mine.path}/files", params={"recursive": True})
    assert listed.json()["has_more"] is True and len(listed.content) < 8_000_000


def test_a_value_that_forges_a_nul_is_shown_without_it(desk: Desks) -> None:
    mine = desk("dora")
    done = mine.run("class Odd:\n    def __repr__(self): return 'a\\x00b\\ud800'\nOdd()")
    assert "\x00" not in done["result"] and done["result"].startswith("a")


def test_the_environment_of_a_vm_is_seen_by_its_command_alone(as_user: Clients) -> None:
    http = as_user("emil")
    command = ["bash", "-c", "echo $SECRET_OF_EMIL >seen; exec python3 -m http.server 8000 --bind 127.0.0.1"]
    asked = {"disk_size_gb": 0.1, "memory_mb": 256, "container_port": 8000, "command": command}
    vm = http.post("/api/v1/vms", json={**asked, "env": {"SECRET_OF_EMIL": "hunter2hunter2"}}).json()["vm_id"]
    try:
        url = http.post(f"/api/v1/vms/{vm}/start").json()["url"]
        assert served(f"{url}/seen") == "hunter2hunter2\n"
        assert "hunter2" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    finally:
        http.delete(f"/api/v1/vms/{vm}")


def test_the_page_of_a_published_port_is_no_page_of_ours(as_user: Clients) -> None:
    http = as_user("fritz")
    command = ["python3", "-m", "http.server", "8000", "--bind", "127.0.0.1"]
    asked = {"disk_size_gb": 0.1, "memory_mb": 256, "container_port": 8000, "command": command}
    vm = http.post("/api/v1/vms", json=asked).json()["vm_id"]
    try:
        port = http.post(f"/api/v1/vms/{vm}/start").json()["host_port"]
        for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}", f"http://[::1]:{port}"):
            answer = http.get("/sandboxes", headers={"origin": origin})
            assert (answer.status_code, answer.json().get("code")) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in answer.headers
        assert http.get("/sandboxes", headers={"origin": "http://localhost:3000"}).status_code == 200
    finally:
        http.delete(f"/api/v1/vms/{vm}")
    gone = http.get("/sandboxes", headers={"origin": f"http://127.0.0.1:{port}"})
    assert gone.status_code == 403  # what it left in a browser still runs there


def test_the_machines_other_images_are_nobodys_to_start(as_user: Clients, code_engine: str) -> None:
    if code_engine == "docker":
        docker = ["docker", "--host", docker_address() or ""]
        ours = subprocess.run(
            [*docker, "images", "-q", "agentrt-sandbox"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        subprocess.run([*docker, "tag", ours, "operators-own:secret"], check=True)
    try:
        answer = as_user("ida").post("/api/v1/vms", json={"image": "operators-own:secret"})
        assert (answer.status_code, answer.json().get("code")) == (400, "image_missing"), answer.text
    finally:
        if code_engine == "docker":
            subprocess.run([*docker, "rmi", "operators-own:secret"], check=True, capture_output=True)


def test_who_deletes_a_session_deletes_nothing_of_others_who_named_theirs_the_same(as_user: Clients, desk: Desks) -> None:
    theirs = desk("jan", session="shared-name")
    theirs.run("open('kept', 'w').write('kept')")
    mallory = as_user("mallory")
    said = {"model": "code-executor", "messages": [{"role": "user", "content": "Execute this Python code: print(2 + 2)"}]}
    answer = mallory.post("/v1/chat/completions", json=said, headers={"x-session-id": "shared-name"})
    assert answer.status_code == 200, answer.text
    assert mallory.delete("/sessions/shared-name", params={"force": True}).status_code == 204
    assert theirs.run("open('kept').read()")["result"] == "'kept'"


def test_a_vm_that_is_stopped_while_it_starts_takes_nobody_with_it(as_user: Clients, code_server: CodeServer) -> None:
    http = as_user("kai")
    vm = http.post("/api/v1/vms", json={"disk_size_gb": 0.1, "memory_mb": 128, "command": ["sleep", "60"]}).json()["vm_id"]
    starting = threading.Thread(target=lambda: http.post(f"/api/v1/vms/{vm}/start"))
    with code_server.client("kai") as other:
        starting.start()
        while other.get(f"/api/v1/vms/{vm}/status").json()["status"] == "stopped":
            pass
        assert other.post(f"/api/v1/vms/{vm}/stop").json()["status"] == "stopped"
        starting.join()
        for _ in range(20):
            assert other.get("/health").status_code == 200
        assert other.delete(f"/api/v1/vms/{vm}").status_code == 200


def test_a_command_without_end_is_refused(as_user: Clients) -> None:
    answer = as_user("lea").post("/api/v1/vms", json={"command": ["x" * 100] * 1000})
    assert (answer.status_code, answer.json()["param"]) == (400, "command")


def test_turns_between_two_streams_are_no_row_each(desk: Desks) -> None:
    mine, turns = desk("gina"), 100_000
    began = time.monotonic()
    done = mine.run(f"import os\nfor _ in range({turns}): os.write(1, b'a'); os.write(2, b'b')")
    flushes = (time.monotonic() - began) / FLUSH_S + 2 * turns / FLUSH_BYTES + 2  # at most: of time, of size, the first and last
    events = mine.client.get(f"/runs/{done['run_id']}/events").text
    rows = events.count("event: tool_std")
    assert 2 <= rows <= flushes * 2 * (MOST_PIECES + 1)
    assert len(done["stdout"]) == len(done["stderr"]) > 1000


def test_a_disk_of_absurd_size_is_refused(as_user: Clients) -> None:
    for size in (1e308, -1e308):
        answer = as_user("hugo").post("/api/v1/vms", json={"disk_size_gb": size})
        assert (answer.status_code, answer.json().get("param")) == (400, "disk_size_gb"), answer.text
