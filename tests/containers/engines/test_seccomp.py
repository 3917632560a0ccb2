"""The system calls that code may make: the profile, its translation for bubblewrap, and what a box answers."""

import ctypes
import errno
import itertools
import json
import os
import platform
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentrt.containers.engines.seccomp import Profile, Rule, compiled, profile_text
from fixtures.boxes import Boxes

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HERE = ARCHITECTURES[platform.machine()]
ALLOWED, KILLED = 0x7FFF0000, 0

# What neither a mistake nor a capability would be answered with EPERM: the filter is who refuses it.
REFUSED: Mapping[str, tuple[int, ...]] = {
    **{f"io_uring_{name}": (-1, 0, 0, 0) for name in ("setup", "enter", "register")},
    **{"io_setup": (1, 0), "io_submit": (0, 0, 0), "io_destroy": (0,), "io_getevents": (0, 1, 1, 0, 0)},
    **{"keyctl": (0, -1, 0), "add_key": (0, 0, 0, 0, 0), "request_key": (0, 0, 0, 0)},
    **{"bpf": (0, 0, 0), "perf_event_open": (0, 0, 0, 0, 0), "userfaultfd": (-1,), "kcmp": (1, 1, 0, 0, 0)},
    **{"ptrace": (0, 0, 0, 0), "process_vm_readv": (1, 0, 0, 0, 0, 99), "process_vm_writev": (1, 0, 0, 0, 0, 99)},
    **{"pidfd_getfd": (-1, 0, 0), "unshare": (0,), "setns": (-1, 0), "chroot": (0,), "pivot_root": (0, 0)},
    **{"mount": (0, 0, 0, 0, 0), "umount2": (0, 0), "open_tree": (-1, 0, 0), "move_mount": (-1, 0, -1, 0, 0)},
    **{"fsopen": (0, 0), "fsconfig": (-1, 0, 0, 0, 0), "fsmount": (-1, 0, 0), "fspick": (-1, 0, 0)},
    **{"mount_setattr": (-1, 0, 0, 0, 0), "name_to_handle_at": (-1, 0, 0, 0, 0), "open_by_handle_at": (-1, 0, 0)},
    **{"fanotify_init": (0, 0), "fanotify_mark": (-1, 0, 0, 0, 0), "vmsplice": (-1, 0, 0, 0), "memfd_secret": (0,)},
    **{"sync": (), "syncfs": (-1,), "mbind": (0, 0, 0, 0, 0, 0), "set_mempolicy": (0, 0, 0), "move_pages": (0, 0, 0, 0, 0, 0)},
    **{"get_mempolicy": (0, 0, 0, 0, 0), "migrate_pages": (0, 0, 0, 0), "remap_file_pages": (0, 0, 0, 0, 0)},
    **{"init_module": (0, 0, 0), "finit_module": (-1, 0, 0), "delete_module": (0, 0), "kexec_load": (0, 0, 0, 0)},
    **{"reboot": (0, 0, 0, 0), "swapon": (0, 0), "swapoff": (0,), "acct": (-1,), "quotactl": (0, 0, 0, 0)},
    **{"settimeofday": (0, 0), "clock_settime": (0, 0), "adjtimex": (0,), "clock_adjtime": (0, 0), "syslog": (10, 0, 0)},
    **{"vhangup": (), "sethostname": (0, 0), "setdomainname": (0, 0), "personality": (0x0040000,)},
    **({"modify_ldt": (0, 0, 0), "iopl": (0,), "ioperm": (0, 0, 0)} if platform.machine() == "x86_64" else {}),
}
ODD_SOCKETS = {
    "AF_ALG": (38, 5, 0),
    "AF_VSOCK": (40, 1, 0),
    "AF_PACKET": (17, 3, 0),
    "AF_KEY": (15, 3, 2),
    "AF_BLUETOOTH": (31, 3, 1),
    "AF_CAN": (29, 3, 1),
    "AF_TIPC": (30, 5, 0),
    "AF_RDS": (21, 5, 0),
    "AF_XDP": (44, 3, 0),
    "AF_SMC": (43, 1, 0),
    "netlink of the kernel's devices": (16, 3, 15),
    "netlink of the audit": (16, 3, 9),
    "netlink of the packet filter": (16, 3, 12),
    "raw IPv4": (2, 3, 1),
    "raw IPv6": (10, 3, 58),
    "ping": (2, 2, 1),
    "ping over IPv6": (10, 2, 58),
    "SCTP": (2, 1, 132),
    "UDP-Lite": (2, 2, 136),
    "multipath TCP": (2, 1, 262),
}
NEW_NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000, "uts": 0x4000000}

TRY = """
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
answers = {}
for name, numbers in json.loads(sys.stdin.readline()).items():
    ctypes.set_errno(0)
    done = libc.syscall(*map(ctypes.c_long, numbers))
    answers[name] = "allowed" if done >= 0 else errno.errorcode[ctypes.get_errno()]
    if done == 0 and name.startswith("clone") and os.getpid() != 1:
        os._exit(0)
print(json.dumps(answers), flush=True)
"""


def number(name: str) -> int:
    return ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name(name.encode())


async def answers(boxes: Boxes, calls: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    box = await boxes.start(TRY)
    await box.hears(json.dumps(calls))
    return json.loads(await box.says())


@pytest.mark.anyio
async def test_calls_that_attack_the_kernel_are_refused_by_the_filter(boxes: Boxes) -> None:
    calls = {name: (number(name), *args) for name, args in REFUSED.items() if number(name) >= 0}
    assert set((await answers(boxes, calls)).items()) == {(name, "EPERM") for name in calls}


@pytest.mark.anyio
async def test_odd_and_raw_sockets_are_refused_by_the_filter(boxes: Boxes) -> None:
    calls = {name: (number("socket"), *args) for name, args in ODD_SOCKETS.items()}
    calls |= {f"{name} with flags": (number("socket"), args[0], args[1] | 0x80800, args[2]) for name, args in ODD_SOCKETS.items()}
    assert set((await answers(boxes, calls)).items()) == {(name, "EPERM") for name in calls}


@pytest.mark.anyio
async def test_no_process_gets_namespaces_of_its_own(boxes: Boxes) -> None:
    calls = {f"clone {name}": (number("clone"), flag | 17, 0, 0, 0, 0) for name, flag in NEW_NAMESPACES.items()}
    assert set((await answers(boxes, calls)).items()) == {(name, "EPERM") for name in calls}
    # its flags cannot be read by a filter; that it is missing sends libraries to the older call
    assert await answers(boxes, {"clone3": (435, 0, 0)}) == {"clone3": "ENOSYS"}


# each of the caller, which has no number here but 0: process 1 itself may not name itself as others would
OF_OTHERS = {"prlimit64": (1, 7, 0, 0), "sched_setaffinity": (1, 0, 0), "sched_setscheduler": (1, 0, 0), "sched_setparam": (1, 0)}
OF_OTHERS |= {"sched_setattr": (1, 0, 0), "setpriority": (0, 1, 0), "ioprio_set": (1, 1, 0)}
OF_GROUPS = {"setpriority": (1, 0, 0), "ioprio_set": (2, 0, 0)}
OF_ITS_OWN = {"prlimit64": (0, 7, 0, 0), "setpriority": (0, 0, 19), "ioprio_set": (1, 0, 0)}
NOWHERE = 8  # a place that cannot be read: what the filter lets through ends with EFAULT


@pytest.mark.anyio
async def test_limits_and_priorities_are_the_callers_own_business_only(boxes: Boxes) -> None:
    for refused in (OF_OTHERS, OF_GROUPS):
        told = await answers(boxes, {name: (number(name), *args) for name, args in refused.items()})
        assert told == dict.fromkeys(refused, "EPERM")
    told = await answers(boxes, {name: (number(name), *args) for name, args in OF_ITS_OWN.items()})
    assert told == dict.fromkeys(OF_ITS_OWN, "allowed")


@pytest.mark.anyio
async def test_no_process_changes_its_limit_of_cores(boxes: Boxes) -> None:
    """1 is what keeps the machine's own handler of crashes away from what is in a box."""
    new = {f"limit {n}": (number("prlimit64"), 0, n, NOWHERE, 0) for n in range(16)}
    old = {f"limit {n} by the older call": (number("setrlimit"), n, NOWHERE) for n in range(16)}
    odd = {"an odd number": (number("prlimit64"), 0, (1 << 32) + 4, NOWHERE, 0)}
    told = await answers(boxes, {**new, **old, **odd, "reading": (number("prlimit64"), 0, 4, 0, 0)})
    refused = {name for name, answer in told.items() if answer == "EPERM"}
    assert refused == {"limit 4", "limit 4 by the older call", "an odd number"}


NUMBERS = """
import os, resource, threading
import numpy, pandas, matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from concurrent.futures import ThreadPoolExecutor
a = numpy.arange(250_000.0).reshape(500, 500)
assert (a @ numpy.eye(500) == a).all()
assert list(ThreadPoolExecutor(8).map(lambda n: int((a[n] @ a[n]) > 0), range(4))) == [0 < n or 1 for n in range(4)]
assert pandas.DataFrame({"n": [1, 2, 3]}).n.sum() == 6
plt.plot([1, 4, 9]); plt.savefig("/tmp/figure.png")
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024)); os.nice(1); os.sched_setaffinity(0, os.sched_getaffinity(0))
print(len(os.listdir("/proc/self/task")), flush=True)
"""


@pytest.mark.anyio
@pytest.mark.parametrize("threads", [1, 4])
async def test_numeric_libraries_and_their_threads_work(boxes: Boxes, threads: int) -> None:
    env = {"OPENBLAS_NUM_THREADS": str(threads), "MPLCONFIGDIR": "/tmp/.matplotlib"}
    said = await boxes.run(NUMBERS, env=env, limits={"memory_mb": 512, "pids": 24})
    assert min(threads, os.cpu_count() or 1) <= int(said) <= 24, said


USUAL_WORK = """
import asyncio, multiprocessing, signal, sqlite3, subprocess, tempfile, threading, time, mmap, select
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor
assert list(ThreadPoolExecutor(2).map(len, ["a", "bb"])) == [1, 2]
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    assert list(pool.map(len, ["a", "bb"])) == [1, 2]
assert subprocess.run("seq 3 | sort -r | head -1; ls / > /dev/null", shell=True, capture_output=True).stdout == b"3\\n"
assert subprocess.run(["bash", "-c", "cat <(echo sub)"], capture_output=True).stdout == b"sub\\n"
with tempfile.TemporaryDirectory() as folder:
    db = sqlite3.connect(folder + "/db"); db.execute("create table t (n)"); db.commit(); db.close()
    os.mkfifo(folder + "/fifo"); os.symlink("a", folder + "/b"); os.chmod(folder, 0o711)
    os.sendfile
async def talk():
    async def serve(reader, writer):
        writer.write(await reader.readline()); writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
    writer.write(b"hello\\n")
    assert await reader.readline() == b"hello\\n"
    writer.close()
    child = await asyncio.create_subprocess_exec("true")
    assert await child.wait() == 0
asyncio.run(talk())
one, two = socket.socketpair(); one.send(b"x"); assert two.recv(1) == b"x"
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
assert socket.if_nameindex()
signal.setitimer(signal.ITIMER_REAL, 0.01); signal.sigwait([]) if False else None
signal.signal(signal.SIGALRM, signal.SIG_IGN)
os.memfd_create("m"); os.eventfd(0); select.epoll(); os.pidfd_open(os.getpid()); mmap.mmap(-1, 4096).close()
os.nice(1); os.sched_getaffinity(0); os.getrandom(8); os.statvfs("/tmp"); os.getloadavg()
print("all of it", flush=True)
"""


@pytest.mark.anyio
async def test_usual_work_is_not_disturbed(boxes: Boxes) -> None:
    assert await boxes.run("import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n" + USUAL_WORK) == "all of it\n"


def run_filter(program: bytes, call: int, args: tuple[int, ...] = (), arch: int = HERE) -> int:
    """What the kernel would make of a call."""
    data = struct.pack("<iIQ6Q", call, arch, 0, *(arg & (2**64 - 1) for arg in (*args, *[0] * 6)[:6]))
    steps = list(struct.iter_unpack("<HBBI", program))
    at, value = 0, 0
    while True:
        code, yes, no, k = steps[at]
        at += 1
        match code:
            case 0x20:
                value = struct.unpack_from("<I", data, k)[0]
            case 0x54:
                value &= k
            case 0x05:
                at += k
            case 0x15:
                at += yes if value == k else no
            case 0x25:
                at += yes if value > k else no
            case 0x35:
                at += yes if value >= k else no
            case 0x06:
                return k
            case _:
                raise AssertionError(f"an instruction that the test does not know: {code:#x}")


def meaning(profile: Profile, name: str, args: tuple[int, ...]) -> int:
    """What the profile says of a call."""

    def fits(rule: Rule) -> bool:
        return all(
            (args[arg.index] & arg.value) == arg.value_two if arg.op == "SCMP_CMP_MASKED_EQ" else args[arg.index] == arg.value
            for arg in rule.args
        )

    found = [rule for rule in profile.syscalls if name in rule.names and fits(rule)]
    if not found:
        return 0x50000 | profile.default_errno_ret
    return ALLOWED if found[0].action == "SCMP_ACT_ALLOW" else 0x50000 | found[0].errno_ret


@pytest.fixture(scope="module")
def profile() -> Profile:
    return msgspec.json.decode(profile_text(), type=Profile)


def known_calls() -> dict[str, int]:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    found: dict[str, int] = {}
    for call in range(600):
        if name := library.seccomp_syscall_resolve_num_arch(HERE, call):
            found[ctypes.string_at(name).decode()] = call
    return found


def test_the_translation_says_of_every_call_what_the_profile_says(profile: Profile) -> None:
    program = compiled()
    calls = known_calls()
    assert len(calls) > 300
    samples: list[tuple[int, ...]] = [
        (0,) * 6,
        (2**64 - 1,) * 6,
        (0, 1, 0, 0, 0, 0),
        (1, 0, 0, 0, 0, 0),
        *itertools.product((1, 2, 10, 16, 38), (1, 2, 3), (0, 6, 17, 1), [0], [0], [0]),
    ]
    samples += [(flag | 17, 0, 0, 0, 0, 0) for flag in (*NEW_NAMESPACES.values(), 0x1000000, 0x2000000, 0x10F00)]
    different = [
        (name, args)
        for (name, call), args in itertools.product(calls.items(), samples)
        if run_filter(program, call, args) != meaning(profile, name, args)
    ]
    assert different == []
    assert run_filter(program, 599) == 0x50000 | errno.EPERM


def test_calls_of_another_architecture_end_the_process() -> None:
    other = 0x40000003  # what a 64-bit program makes with the 32-bit interrupt
    assert run_filter(compiled(), 1, arch=other) == KILLED
    if platform.machine() == "x86_64":
        assert run_filter(compiled(), 0x40000000 | 1) == KILLED


def test_the_profile_is_text_that_docker_takes_and_names_nothing_twice(profile: Profile) -> None:
    raw: dict[str, Any] = json.loads(profile_text())
    assert raw["defaultAction"] == "SCMP_ACT_ERRNO"
    plain = [name for rule in profile.syscalls if not rule.args for name in rule.names]
    assert len(plain) == len(set(plain))
    assert not set(plain) & {"socket", "socketpair", "clone", "personality", *REFUSED}
    assert {rule.comment for rule in profile.syscalls if not rule.comment} == set()


def test_the_document_explains_every_call_that_is_refused_here() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sandbox-syscalls.md").read_text()
    assert {name for name in REFUSED if f"`{name}`" not in page} == set()
