"""How an attempt is written and carried out. Runs inside a box, with nothing but the standard library."""

import ctypes
import os
import platform
import signal
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
TRIES: dict[str, Callable[[], object]] = {}
X86 = platform.machine() == "x86_64"
# the same on every architecture from 424 on; below that, x86_64 and the generic table of arm64
NUMBERS = {
    "ptrace": (101, 117),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "acct": (163, 89),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "io_uring_setup": (425, 425),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "mount_setattr": (442, 442),
    "iopl": (172, -1),
    "modify_ldt": (154, -1),
    "clone": (56, 220),
    "mbind": (237, 235),
    "move_pages": (279, 239),
    "nfsservctl": (180, 42),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "setrlimit": (160, 164),
    "io_setup": (206, 0),
    "memfd_secret": (447, 447),
    "process_madvise": (440, 440),
    "prlimit64": (302, 261),
}


def attempt(function: Callable[[], object]) -> Callable[[], object]:
    TRIES[function.__name__] = function
    return function


def call(name: str, *args: object) -> int:
    """The raw system call; OSError where the kernel, a filter or the lack of a right refuses it."""
    number = NUMBERS[name][0 if X86 else 1]
    if number < 0:
        raise OSError("not on this machine")
    result = LIBC.syscall(ctypes.c_long(number), *args)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def status(field: str) -> str:
    with open("/proc/self/status") as lines:
        return next(line.split()[1] for line in lines if line.startswith(field + ":"))


def write(path: str, text: str) -> bool:
    with open(path, "w") as file:
        file.write(text)
    return True


def read(path: str, size: int = 64) -> bytes:
    with open(path, "rb") as file:
        return file.read(size)


def carry_out(function: Callable[[], object]) -> bool:
    """Whether the attempt succeeded. A child makes it: it may be killed for it, or hang."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(8)
        try:
            os._exit(42 if function() else 0)
        except BaseException:
            os._exit(0)
    _, code = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(code) == 42
