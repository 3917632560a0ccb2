"""What code in a box finds itself held to, the same on every engine."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agentrt.containers.engines import BoxSpec, Mount
from agentrt.containers.engines.docker_config import container_config
from fixtures.boxes import UID, Boxes

pytestmark = pytest.mark.anyio

LOOK = """
import json, resource, stat
def lines(path):
    return dict(line.rstrip("\\n").split(":\\t", 1) for line in open(path))
def can_write(path):
    try:
        open(path, "a").close()
        return True
    except OSError:
        return False
def folders():
    for folder, inner, _ in os.walk("/"):
        inner[:] = [name for name in inner if f"{folder.rstrip('/')}/{name}" not in ("/proc", "/sys")]
        yield folder
print(json.dumps({
    "status": lines("/proc/self/status"),
    "pid": os.getpid(),
    "env": dict(entry.split("=", 1) for entry in open("/proc/self/environ").read().split("\\0") if entry),
    "hostname": socket.gethostname(),
    "cwd": os.getcwd(),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "routes": open("/proc/net/route").read().splitlines()[1:],
    "ping": open("/proc/sys/net/ipv4/ping_group_range").read().split(),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "memlock": resource.getrlimit(resource.RLIMIT_MEMLOCK),
    "writable": [folder for folder in folders() if os.access(folder, os.W_OK)],
    "kernel_writable": [path for path in (
        "/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
        "/proc/sys/vm/drop_caches", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs", "/proc/1/oom_score_adj_",
    ) if can_write(path)],
    "hidden": [os.path.exists(p) and (stat.S_ISCHR(os.stat(p).st_mode) or not os.listdir(p)) for p in (
        "/proc/keys", "/proc/timer_list", "/proc/acpi", "/proc/scsi") if os.path.exists(p)],
    "mounts": {line.split()[4]: line.split()[5] + "," + line.split(" - ")[1].split()[2]
        for line in open("/proc/self/mountinfo")},
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    "devices": sorted(os.listdir("/dev")),
    "processes": [pid for pid in os.listdir("/proc") if pid.isdigit()],
    "resolv": open("/etc/resolv.conf").read() if os.path.exists("/etc/resolv.conf") else "",
}), flush=True)
"""


async def look(boxes: Boxes, **fields: Any) -> dict[str, Any]:
    return json.loads(await boxes.run(LOOK, **fields))


async def test_process_1_is_the_command_itself_without_any_right(boxes: Boxes) -> None:
    found = await look(boxes)
    status = found["status"]
    assert found["pid"] == 1
    assert [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == ["0" * 16] * 5
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert set(status["Uid"].split()) == {str(UID)}
    assert set(status["Gid"].split()) == {str(UID)}
    assert set(status["Groups"].split()) <= {str(UID)}


async def test_its_uid_is_the_one_of_the_host_too(boxes: Boxes) -> None:
    box = await boxes.start("import sys; print('up', flush=True); sys.stdin.readline()")
    assert await box.says() == "up"
    assert os.stat(f"/proc/{box.pid}").st_uid == UID


async def test_nothing_of_the_environment_but_what_was_given(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "hunter2")
    found = await look(boxes, env={"GIVEN": "as it is, = and all"})
    assert found["env"].pop("GIVEN") == "as it is, = and all"
    assert set(found["env"]) <= {"PATH", "PWD", "HOME", "HOSTNAME"}
    assert found["hostname"] == "sandbox"
    assert found["cwd"] == "/"


async def test_no_network_but_its_own_loopback(boxes: Boxes) -> None:
    found = await look(boxes)
    assert found["interfaces"] == ["lo"]
    assert found["routes"] == []
    assert found["ping"] == ["1", "0"]
    assert found["resolv"].replace("nameserver 127.0.0.1", "").replace("search .", "").strip() == ""


async def test_only_memory_can_be_written_to(boxes: Boxes) -> None:
    found = await look(boxes)
    assert set(found["writable"]) <= {"/tmp", "/dev/shm", "/dev/mqueue"}
    assert {"/tmp", "/dev/shm"} <= set(found["writable"])
    assert found["kernel_writable"] == []
    assert all(found["hidden"])


async def test_what_can_be_written_to_carries_no_devices_and_no_setuid(boxes: Boxes) -> None:
    mounts = (await look(boxes))["mounts"]
    for place in ("/tmp", "/dev/shm"):
        assert {"nosuid", "nodev"} <= set(mounts[place].split(","))
    assert {"size=65536k", "nr_inodes=16384"} <= set(mounts["/tmp"].split(","))
    assert "size=16384k" in mounts["/dev/shm"].split(",")
    assert "ro" in mounts["/"].split(",")


async def test_small_limits_of_a_process(boxes: Boxes) -> None:
    found = await look(boxes)
    assert (found["core"], found["nofile"], found["memlock"]) == ([1, 1], [1024, 1024], [65536, 65536])


async def test_nothing_is_handed_in_but_its_streams(boxes: Boxes) -> None:
    found = await look(boxes)
    assert found["fds"] == [0, 1, 2, 3]  # the fourth lists the others
    assert found["processes"] == ["1"]
    usual = {
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    }
    assert set(found["devices"]) - {"core"} <= usual


async def test_a_folder_that_is_mounted_read_only_cannot_be_written_even_by_its_owner(boxes: Boxes, tmp_path: Path) -> None:
    for name in ("given", "kept"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, UID, UID)
    mounts = (
        Mount(source=tmp_path / "given", target="/workspace", read_only=False),
        Mount(source=tmp_path / "kept", target="/some/new/place"),
    )
    said = await boxes.run(
        "open('/workspace/new', 'w').write('mine')\n"
        "try: open('/some/new/place/new', 'w')\n"
        "except OSError as error: print(error.strerror, flush=True)",
        mounts=mounts,
    )
    assert said == "Read-only file system\n"
    assert (tmp_path / "given" / "new").read_text() == "mine"
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(("for_podman", "cores"), [(False, 1), (True, 0)])
def test_an_engine_that_may_raise_no_limit_is_asked_for_none(for_podman: bool, cores: int) -> None:
    spec = BoxSpec(id="box000000001", image="any", command=("sleep",), uid=UID)
    limits = container_config(spec, runtime="", for_podman=for_podman)["HostConfig"]["Ulimits"]
    assert {"Name": "core", "Soft": cores, "Hard": cores} in limits
