"""Nothing gets out. Every attempt runs on every engine, and against a weak container, to prove that it can succeed at all."""

import asyncio
import json
import subprocess

import pytest

from agentrt.containers.workspaces import Holder
from fixtures.images import IMAGES

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

BYSTANDER = "print(sum(range(1000)))"


async def test_no_attempt_succeeds(attacker, attempts):
    assert await attacker.succeeding(attempts) == set()


async def test_no_attempt_succeeds_from_the_interpreter_that_stays(attacker, attempts):
    outcome, stdout, stderr = await attacker.run(attempts, "kernel")
    assert outcome.exit_code == 0, stderr
    assert [name for name, succeeded in json.loads(stdout).items() if succeeded] == []


async def test_a_weak_container_lets_many_of_them_through(engine, sandbox_image, attempts, request):
    """As root with a right too many, as people start them: what every attempt is worth."""
    if engine.name == "docker":
        url = request.getfixturevalue("docker_url")
        command = ["docker", "-H", url, "run", "--rm", "-i", "--security-opt=seccomp=unconfined", "--cap-add=SYS_ADMIN"]
        command += [
            "--network=host",
            "--user=0:0",
            "-e",
            "API_KEY=x",
            "-v",
            f"{url.removeprefix('unix://')}:/var/run/docker.sock",
        ]
        command += ["--entrypoint=python3", sandbox_image, "-"]
    else:
        root = str(IMAGES / sandbox_image.rpartition(":")[2] / "rootfs")
        command = ["bwrap", "--ro-bind", root, "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"]
        command += ["--tmpfs", "/tmp", "--unshare-pid", "--unshare-uts", "--cap-add", "ALL", "--setenv", "API_KEY", "x"]
        for harmful in ("CAP_SYS_TIME", "CAP_SYS_BOOT", "CAP_SYS_MODULE"):  # this machine is to live on
            command += ["--cap-drop", harmful]
        command += ["python3", "-"]
    succeeded = await weak(command, attempts)
    assert len(succeeded) >= 30, sorted(succeeded)
    assert {"is_root", "mounts_a_file_system", "has_effective_capabilities", "runs_without_a_filter"} <= succeeded


async def weak(command: list[str], attempts: str) -> set[str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = await process.communicate(attempts.encode())
    assert process.returncode == 0, stderr[-2000:]
    return {name for name, succeeded in json.loads(stdout).items() if succeeded}


# What code can do to its own box, and what its neighbour and the server notice: nothing.

HARM = {
    "forks without end": ("bash", ":(){ :|:& };:"),
    "forks from Python without end": ("python", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
    "takes all memory": ("python", "a = []\nwhile True: a.append(b'x' * 1048576)"),
    "takes all memory by files": ("bash", "head -c 2G /dev/zero >/tmp/fill; head -c 2G /dev/zero >/dev/shm/fill"),
    "writes without end": ("bash", "yes"),
    "writes without line breaks": ("bash", "cat /dev/zero"),
    "keeps the processor": ("python", "while True: pass"),
    "leaves daemons behind": ("bash", "for i in $(seq 20); do setsid sh -c 'while :; do :; done' & done; exit 0"),
    "leaves zombies behind": ("python", "import os\nfor _ in range(30):\n    if os.fork() == 0: os._exit(0)"),
    "opens files without end": ("python", "a = []\nwhile True: a.append(open('/dev/null'))"),
    "stops itself": ("python", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"),
    "kills everything it may": ("python", "import os\nos.kill(-1, 9)"),
    "recurses": ("python", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"),
    "closes every descriptor": ("python", "import os\nos.closerange(0, 4096)"),
    "writes to every descriptor": (
        "python",
        'import os\nfor fd in range(3, 256):\n    for _ in range(3):\n        try: os.write(fd, b\'{"id":1,"exit":0}\')\n'
        "        except OSError: pass",
    ),
    "ends the interpreter that stays": ("kernel", "import os\nos._exit(7)"),
    "crashes the interpreter that stays": ("kernel", "import ctypes\nctypes.string_at(0)"),
}


@pytest.mark.parametrize("harm", HARM)
async def test_harm_stays_where_it_is_done(attacker, neighbour, harm):
    """Whatever it does it is ended, its neighbour works on meanwhile, and its own sandbox works afterwards, or is replaced."""
    mode, code = HARM[harm]
    async with asyncio.timeout(30):
        async with asyncio.TaskGroup() as group:
            doing = group.create_task(attacker.run(code, mode, wall_s=3.0, output_bytes=1_000_000))
            while not doing.done():
                assert await neighbour.says(BYSTANDER) == "499500\n"
        _, stdout, stderr = doing.result()
    assert len(stdout) + len(stderr) <= 1_100_000
    assert await neighbour.says(BYSTANDER) == "499500\n"
    if attacker.lease.alive:
        assert await attacker.says(BYSTANDER) == "499500\n"
        left = await attacker.says("ps -eo pid=,comm= | wc -l", "bash")
        assert int(left) <= 8, await attacker.says("ps -ef", "bash")


async def test_a_full_workspace_fails_the_write_and_nothing_else(attacker, neighbour):
    outcome, _, stderr = await attacker.run("head -c 20M /dev/zero >/workspace/fill", "bash")
    assert outcome.exit_code != 0
    assert b"No space left on device" in stderr
    assert await attacker.says("rm /workspace/fill; echo free >/workspace/note; cat /workspace/note", "bash") == "free\n"
    assert await neighbour.says("echo mine >/workspace/note; cat /workspace/note", "bash") == "mine\n"


async def test_a_workspace_holds_so_many_files_and_no_more(attacker):
    outcome, _, stderr = await attacker.run("for i in $(seq 400); do : >/workspace/f$i || exit 1; done", "bash")
    assert outcome.exit_code != 0
    assert b"No space left on device" in stderr


async def test_neighbours_do_not_see_each_other(attacker, neighbour):
    await neighbour.says("echo secret >/workspace/secret; (sleep 20 &)", "bash")
    seen = await attacker.says("ls -la /workspace; find / -name 'secre?' -type f 2>/dev/null; ps -ef; cat /proc/mounts", "bash")
    assert "secret" not in seen
    assert "sleep" not in seen


async def test_what_one_user_had_nobody_gets_after_them(pools, attacker):
    await attacker.says("echo mine >/tmp/left; echo mine >/workspace/left; echo mine >/dev/shm/left", "bash")
    box = attacker.lease.box.id
    await pools["code"].release(attacker.lease.id)
    others = [type(attacker)(await pools["code"].acquire(Holder(user=f"other{n}", session="s"))) for n in range(3)]
    assert box not in {person.lease.box.id for person in others}
    for person in others:
        assert "left" not in await person.says("ls -a /tmp /workspace /dev/shm", "bash")
