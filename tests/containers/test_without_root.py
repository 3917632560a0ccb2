"""The server of an ordinary user who may use Docker, as most people run it: on the real engine, by the HTTP API."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from agentrt.containers.engines import INSTANCE_LABEL
from fixtures.code_server import CodeServer, clear, environment, running
from fixtures.dockerd import docker_address
from fixtures.live_server import LiveServer
from fixtures.postgres import free_port

# Neither is the number of anybody, and they differ: a group is not the user's number.
UID, GID = 64_873, 64_874
LIMITS = {"AGENTRT_CONTAINERS__POOLS__CODE__LIMITS__DISK_MB": "16", "AGENTRT_MODULES__MCP_REGISTRY": "false"}

Serve = Callable[..., Any]


def as_user(*groups: int) -> tuple[str, ...]:
    """What a command is given to that an ordinary user shall run; who runs the tests, where that is one."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("nobody else can be become (setpriv, package util-linux)")
    member = (f"--groups={','.join(map(str, groups))}",) if groups else ("--clear-groups",)
    prefix = ("setpriv", f"--reuid={UID}", f"--regid={GID}", *member, "--inh-caps=-all")
    if subprocess.run([*prefix, sys.executable, "-c", "import agentrt"], cwd="/", capture_output=True, check=False).returncode:
        pytest.skip("an ordinary user of this machine cannot read what the tests run")
    return prefix


@pytest.fixture(scope="module")
def may_use_docker() -> tuple[str, ...]:
    """The same for one who is in the group of the engine's socket."""
    url = docker_address() or ""
    if not url.startswith("unix://"):
        pytest.skip("no Docker engine answers at a socket, and none can be started (as root, with the package docker.io)")
    about = os.stat(url.removeprefix("unix://"))
    if os.geteuid() == 0 and about.st_mode & 0o060 != 0o060:
        pytest.skip("the socket of this machine's Docker engine is for no group")
    return as_user(about.st_gid)


def a_home() -> Path:
    """A folder of that user, where it reaches it."""
    home = Path(tempfile.mkdtemp(prefix="agentrt-user-"))
    if os.geteuid() == 0:
        os.chown(home, UID, GID)
    return home


@pytest.fixture(scope="module")
def server(may_use_docker: tuple[str, ...]) -> Iterator[CodeServer]:
    home = a_home()
    try:
        with running("docker", home, prefix=may_use_docker, **LIMITS) as started:
            yield started
    finally:
        clear("docker", home)
        shutil.rmtree(home)


@pytest.fixture
def home() -> Iterator[Path]:
    folder = a_home()
    try:
        yield folder
    finally:
        clear("docker", folder)
        shutil.rmtree(folder)


def acquire(http: httpx2.Client, session: str = "s") -> str:
    answer = http.post("/sandboxes", json={"session": session})
    assert answer.status_code == 200, answer.text
    return f"/sandboxes/{answer.json()['id']}"


def execute(http: httpx2.Client, sandbox: str, code: str, language: str = "python") -> dict[str, Any]:
    answer = http.post(f"{sandbox}/exec", json={"code": code, "language": language})
    assert answer.status_code == 200, answer.text
    return answer.json()


def workspaces(home: Path) -> list[str]:
    """Those that are somebody's."""
    names = os.listdir(home / "data" / "containers" / "workspaces")
    return [name for name in names if not name.startswith("new-") and name != "salt"]


def test_a_chat_executes_code(server: CodeServer) -> None:
    asked: Any = [{"role": "user", "content": "Execute this Python code: print(2 + 2)"}]
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0, timeout=60) as client:
        for _ in range(2):
            with client.chat.completions.create(model="code-executor", user="chat", messages=asked, stream=True) as chunks:
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert "4" in text


def test_code_is_of_the_user_and_the_group_of_the_server_and_of_no_other(server: CodeServer) -> None:
    owner = server.home.stat()
    with server.client("who") as http:
        sandbox = acquire(http)
        done = execute(http, sandbox, "import os; print(os.getuid(), os.getgid(), os.getgroups()); open('mine', 'w')")
        assert done["stdout"] == f"{owner.st_uid} {owner.st_gid} [{owner.st_gid}]\n"
    (mine,) = (server.home / "data" / "containers" / "workspaces").glob("*/files/mine")
    assert (mine.stat().st_uid, mine.stat().st_gid) == (owner.st_uid, owner.st_gid)


def test_two_users_do_not_see_each_other(server: CodeServer) -> None:
    with server.client("ada") as ada, server.client("bob") as bob:
        hers, his = acquire(ada), acquire(bob)
        execute(ada, hers, "open('secret', 'w').write('x'); open('/tmp/secret', 'w').write('x')")
        listing = "import os; print(os.listdir('.'), os.listdir('/tmp'), [p for p in os.listdir('/proc') if p == '2'])"
        assert "secret" not in execute(bob, his, listing)["stdout"]
        assert bob.get(hers).status_code == 404


def test_what_code_locks_away_is_read_measured_and_deleted_all_the_same(server: CodeServer) -> None:
    with server.client("locksmith") as http:
        sandbox = acquire(http)
        lock = "mkdir -p shut/deep only && echo in >shut/deep/file && echo in >only/file && echo in >file"
        execute(http, sandbox, f"{lock} && chmod 000 file shut/deep shut && chmod 555 only && chmod 000 .", "bash")
        listed = http.get(f"{sandbox}/files", params={"recursive": True}).json()["data"]
        assert {"shut/deep/file", "only/file", "file"} <= {entry["path"] for entry in listed}
        for path in ("shut/deep/file", "file"):
            assert http.get(f"{sandbox}/files/{path}").text == "in\n"
        body, kind = b"new", {"content-type": "application/octet-stream"}
        assert http.put(f"{sandbox}/files/only/new", content=body, headers=kind).status_code == 200
        assert http.delete(f"{sandbox}/files/only/file").status_code == 204
        execute(http, sandbox, "chmod 555 only && chmod 000 shut/deep shut", "bash")
        assert http.delete(f"{sandbox}/files/shut", params={"recursive": True}).status_code == 204
        assert http.delete(f"{sandbox}/files/only", params={"recursive": True}).status_code == 204


def test_a_workspace_that_its_code_has_locked_goes_with_its_sandbox(home: Path, may_use_docker: tuple[str, ...]) -> None:
    with running("docker", home, prefix=may_use_docker, **LIMITS) as server, server.client("locksmith") as http:
        sandbox = acquire(http)
        execute(http, sandbox, "mkdir -p a/b && echo in >a/b/file && chmod 000 a/b a .", "bash")
        assert http.delete(sandbox, params={"files": True}).status_code == 204
        assert workspaces(home) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave behind what another user cannot remove")
def test_what_cannot_be_removed_keeps_no_server_from_starting_or_stopping(home: Path, may_use_docker: tuple[str, ...]) -> None:
    left = home / "data" / "containers" / "workspaces" / "gone-000000000000" / "files" / "of-root"
    left.mkdir(parents=True)
    for folder in (left.parents[1], *left.parents[2:5]):
        os.chown(folder, UID, GID)
    left.joinpath("file").touch()
    with running("docker", home, prefix=may_use_docker, **LIMITS) as server, server.client("ada") as http:
        assert execute(http, acquire(http), "2 + 2")["result"] == "4"
    assert left.exists() and "workspace.not_removed" in server.log


def test_code_that_writes_more_than_it_may_is_ended_and_no_more_is_executed_until_files_go(server: CodeServer) -> None:
    endless = "i=0; while :; do head -c 1000000 /dev/zero >file$i; i=$((i + 1)); sleep 0.01; done"
    with server.client("hoarder") as http, server.client("neighbour") as neighbour:
        sandbox = acquire(http)
        done = execute(http, sandbox, endless, "bash")
        assert (done["ended"], done["exit_code"]) == ("disk", -9)
        refused = http.post(f"{sandbox}/exec", json={"code": "2 + 2"})
        assert (refused.status_code, refused.json()["code"]) == (400, "workspace_full")
        assert "delete some of its files" in refused.json()["detail"]
        assert execute(neighbour, acquire(neighbour), "2 + 2")["result"] == "4"
        for entry in http.get(f"{sandbox}/files").json()["data"]:
            assert http.delete(f"{sandbox}/files/{entry['path']}").status_code == 204
        assert execute(http, sandbox, "2 + 2")["result"] == "4"


def boxes_of(home: Path) -> list[str]:
    """What the engine has of the server that lives there."""
    instance = (home / "data" / "containers" / "instance").read_text()
    wanted = ["ps", "--all", "--quiet", "--filter", f"label={INSTANCE_LABEL}={instance}"]
    docker = ["docker", "--host", docker_address() or ""]
    return subprocess.run([*docker, *wanted], capture_output=True, text=True, check=True).stdout.split()


def test_killed_in_mid_execution_it_comes_back_with_the_files_and_leaves_no_box(
    home: Path, may_use_docker: tuple[str, ...]
) -> None:
    with running("docker", home, prefix=may_use_docker, **LIMITS) as server, server.client("ada") as http:
        sandbox = acquire(http)
        execute(http, sandbox, "open('kept', 'w').write('kept')")
        asked = {"code": "import time; print('up', flush=True); time.sleep(60)"}
        with http.stream("POST", f"{sandbox}/stream", json=asked) as told:
            assert any("up" in line for line in told.iter_lines())
            server.kill()
    before = boxes_of(home)
    assert before
    with running("docker", home, prefix=may_use_docker, **LIMITS) as server, server.client("ada") as http:
        assert execute(http, acquire(http), "print(open('kept').read())")["stdout"] == "kept\n"
        assert not set(before) & set(boxes_of(home))
    assert boxes_of(home) == []


def reason(server: LiveServer) -> str:
    """Why no code runs, once that is known."""
    until = time.monotonic() + 40
    while time.monotonic() < until:
        health = httpx2.get(f"{server.url}/health").json()
        assert health["status"] == "healthy"
        if health["modules"]["containers"]["status"] == "off":
            return health["modules"]["containers"]["detail"]["reason"]
    raise AssertionError(server.log)


@pytest.mark.parametrize("engine", ["docker", "bubblewrap"])
def test_who_may_use_neither_is_told_what_each_lacks_and_has_all_else(home: Path, engine: str) -> None:
    """Docker's socket is for others; bubblewrap has no control groups to hold anything to."""
    if engine == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (package bubblewrap)")
    url = docker_address() if engine == "docker" else f"unix://{home}/none.sock"
    if url is None or os.geteuid() != 0:
        pytest.skip("who runs the tests may use Docker, or there is none")
    env = {"AGENTRT_CONTAINERS__ENGINE": "auto", "AGENTRT_CONTAINERS__DOCKER_URL": url, "AGENTRT_MODULES__MCP_REGISTRY": "false"}
    server = LiveServer(home, (), env, free_port(), prefix=as_user())
    try:
        server.wait_healthy()
        why = reason(server)
        assert "add it to the group docker and log in again" in why if engine == "docker" else "Delegate=yes" in why
        answer = httpx2.post(f"{server.url}/sandboxes", json={}, timeout=60)
        assert (answer.status_code, answer.json()["detail"]) == (503, why)
    finally:
        assert server.terminate(30) == 0, server.log


def test_the_doctor_says_what_it_sees(home: Path, may_use_docker: tuple[str, ...]) -> None:
    clean = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env = {**clean, **environment("docker", home), "HOME": str(home), "AGENTRT_DATA_DIR": str(home / "data")}
    command = [*may_use_docker, sys.executable, "-m", "agentrt", "doctor", "--addr", f"127.0.0.1:{free_port()}"]
    said = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=50, check=False).stdout
    assert "docker answers, code runs on agentrt-sandbox:" in said
