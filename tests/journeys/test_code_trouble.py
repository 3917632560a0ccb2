"""Where code runs things go wrong: crashes of the server, of the engine, of the code; nobody else notices, nothing is left."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fixtures.code_server import CodeServer, clear, running
from fixtures.dockerd import can_start, docker_address, own_dockerd
from fixtures.images import built

ServeCode = Callable[..., Any]


def acquire(http: httpx2.Client, session: str) -> str:
    answer = http.post("/sandboxes", json={"session": session})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def execute(http: httpx2.Client, sandbox: str, code: str, **more: Any) -> dict[str, Any]:
    answer = http.post(f"/sandboxes/{sandbox}/exec", json={"code": code, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_killed_in_mid_execution_the_server_comes_back_with_the_files_and_says_what_is_unknown(serve_code: ServeCode) -> None:
    with serve_code() as server, server.client("ada") as http:
        sandbox = acquire(http, "s")
        execute(http, sandbox, "x = 1; open('kept.txt', 'w').write('still here')")
        asked = threading.Thread(target=lambda: _lost(http, sandbox))
        asked.start()
        while not (live := http.get("/runs", params={"status": "running"}).json()["data"]):
            pass
        server.kill()
        asked.join()
    with serve_code() as server, server.client("ada") as http:
        while (run := http.get(f"/runs/{live[0]['id']}").json())["status"] == "running":
            pass
        assert (run["status"], run["error"]["code"]) == ("failed", "outcome_unknown")
        assert http.get(f"/sandboxes/{sandbox}").status_code == 404
        again = acquire(http, "s")
        done = execute(http, again, "print(open('kept.txt').read())")
        assert (done["stdout"], done["state_lost"]) == ("still here\n", True)
        health = http.get("/health").json()["modules"]["containers"]["detail"]["pools"]["code"]
        assert health["active"] == 1


def _lost(http: httpx2.Client, sandbox: str) -> None:
    with pytest.raises(httpx2.TransportError):
        http.post(f"/sandboxes/{sandbox}/exec", json={"code": "import time; time.sleep(60)"})


def test_a_fork_bomb_harms_nobody_else(code_server: CodeServer) -> None:
    with code_server.client("bomber") as bomber, code_server.client("neighbour") as neighbour:
        theirs, mine = acquire(bomber, "s"), acquire(neighbour, "s")
        execute(neighbour, mine, "y = 7")
        bomb = ":(){ :|:& };: ; sleep 60"
        exploding = threading.Thread(
            target=lambda: bomber.post(f"/sandboxes/{theirs}/exec", json={"code": bomb, "language": "bash", "timeout_s": 5})
        )
        exploding.start()
        meanwhile = 0
        while exploding.is_alive():
            assert execute(neighbour, mine, "y * 6")["result"] == "42"
            meanwhile += exploding.is_alive()
        assert meanwhile, "the neighbour waits for the end of the bomb"
        assert execute(bomber, acquire(bomber, "s"), "2 + 2")["result"] == "4"


def test_a_full_disk_is_an_error_inside_and_of_nobody_else(serve_code: ServeCode) -> None:
    with serve_code(AGENTRT_CONTAINERS__POOLS__CODE__LIMITS__DISK_MB="16") as server, server.client("hoarder") as http:
        if server.rootless:
            pytest.skip("without root no disk holds a workspace back: tests/containers/test_without_root.py")
        sandbox = acquire(http, "s")
        done = execute(http, sandbox, "dd if=/dev/zero of=big bs=1M count=64", language="bash")
        assert done["exit_code"] != 0 and "No space left on device" in done["stderr"]
        octets = {"content-type": "application/octet-stream"}
        put = http.put(f"/sandboxes/{sandbox}/files/more", content=b"x" * 4_000_000, headers=octets)
        assert put.status_code == 413, put.text
        execute(http, sandbox, "rm big", language="bash")
        assert execute(http, sandbox, "open('small', 'w').write('fits')")["result"] == "4"


@pytest.mark.timeout(300)
def test_fifty_sessions_share_a_pool_of_eight(serve_code: ServeCode) -> None:
    env = {"AGENTRT_CONTAINERS__POOLS__CODE__MAX": "8", "AGENTRT_CONTAINERS__POOLS__CODE__QUEUE_WAIT_S": "240"}
    with serve_code(**env) as server:

        def work(number: int) -> tuple[str, str]:
            with server.client(f"user-{number}", timeout=280) as http:
                sandbox = acquire(http, "s")
                execute(http, sandbox, f"open('mine', 'w').write('{number}')")
                read = http.post(f"/sandboxes/{acquire(http, 's')}/exec", json={"code": "print(open('mine').read())"})
                http.post(f"/sandboxes/{sandbox}/release")
                return str(number), read.json()["stdout"].strip()

        with ThreadPoolExecutor(50) as threads:
            results = list(threads.map(work, range(50)))
        assert all(number == said for number, said in results)
        with server.client() as http:
            assert http.get("/api/v1/pools/code/stats").json()["queue_length"] == 0


def test_who_waits_too_long_is_told_when_to_come_back(serve_code: ServeCode) -> None:
    env = {"AGENTRT_CONTAINERS__POOLS__CODE__MAX": "1", "AGENTRT_CONTAINERS__POOLS__CODE__QUEUE_WAIT_S": "0.5"}
    with serve_code(**env) as server, server.client("first") as first, server.client("second") as second:
        sandbox = acquire(first, "s")
        working = threading.Thread(
            target=lambda: first.post(f"/sandboxes/{sandbox}/exec", json={"code": "import time; time.sleep(60)"})
        )
        working.start()
        while first.get(f"/sandboxes/{sandbox}").json()["state"] != "running":
            pass
        refused = second.post("/sandboxes", json={})
        assert (refused.status_code, refused.json()["code"]) == (429, "pool_exhausted")
        assert int(refused.headers["retry-after"]) >= 1
        assert first.post(f"/sandboxes/{sandbox}/release").status_code == 204
        working.join()


def test_without_an_engine_everything_else_works_and_one_sentence_says_what_to_do(
    serve: Callable[..., Any],
) -> None:
    nowhere = {"AGENTRT_CONTAINERS__ENGINE": "docker", "AGENTRT_CONTAINERS__DOCKER_URL": "unix:///nowhere/docker.sock"}
    with serve(**nowhere) as server, httpx2.Client(base_url=server.url, timeout=50) as http:
        body = {"model": "default", "messages": [{"role": "user", "content": "Execute this Python code: print(2 + 2)"}]}
        said = http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
        assert "No code tool is on offer" in said
        health = http.get("/health").json()
        assert (health["client_initialized"], health["modules"]["containers"]["status"]) == (False, "degraded")
        refused = http.post("/sandboxes", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
        assert refused.json()["detail"] == health["modules"]["containers"]["detail"]["reason"]


@pytest.fixture
def own_engine(tmp_path: Path) -> Iterator[Any]:
    """A Docker daemon that the test may stop, with the image."""
    if not can_start():
        pytest.skip("a Docker daemon of its own needs root and the package docker.io")
    with own_dockerd() as daemon:
        yield daemon
        clear("docker", tmp_path / "server")


@pytest.mark.timeout(170)
def test_an_engine_that_stops_fails_that_call_and_one_that_comes_back_serves_again(own_engine: Any, tmp_path: Any) -> None:
    shared, image = docker_address(), built("docker")
    saved = tmp_path / "image.tar"
    subprocess.run(["docker", "-H", str(shared), "save", "-o", str(saved), str(image)], check=True, capture_output=True)
    subprocess.run(["docker", "-H", own_engine.url, "load", "-i", str(saved)], check=True, capture_output=True)
    serving = running("docker", tmp_path / "server", AGENTRT_CONTAINERS__DOCKER_URL=own_engine.url)
    with serving as server, server.client("ada") as http:
        sandbox = acquire(http, "s")
        execute(http, sandbox, "open('kept', 'w').write('1')")
        answers: list[httpx2.Response] = []
        sleeping = {"code": "import time; time.sleep(60)"}
        working = threading.Thread(target=lambda: answers.append(http.post(f"/sandboxes/{sandbox}/exec", json=sleeping)))
        working.start()
        while not http.get("/runs", params={"status": "running"}).json()["data"]:
            pass
        own_engine.stop()
        working.join(30)
        assert answers and (answers[0].status_code >= 400 or answers[0].json()["exit_code"] != 0)
        chat = {"model": "default", "messages": [{"role": "user", "content": "Say hello!"}]}
        assert http.post("/v1/chat/completions", json=chat).status_code == 200
        own_engine.start()
        until = time.monotonic() + 60
        while (answer := http.post("/sandboxes", json={"session": "s"})).status_code != 200:
            assert time.monotonic() < until, answer.text
        done = execute(http, answer.json()["id"], "print(open('kept').read())")
        assert done["stdout"] == "1\n"
