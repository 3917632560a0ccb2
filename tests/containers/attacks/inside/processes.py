"""Other processes, the runner first."""

import ctypes
import os
import resource
import signal
import struct

from attempts import attempt, call, read


@attempt
def traces_process_1() -> bool:
    return call("ptrace", 0x4206, 1, 0, 0) == 0  # which does not stop it: it waits for us


@attempt
def traces_its_child() -> bool:
    return call("ptrace", 0, 0, 0, 0) == 0


@attempt
def reads_the_memory_of_another_process() -> bool:
    here = ctypes.create_string_buffer(8)
    part = struct.pack("<QQ", ctypes.addressof(here), 8)
    with open("/proc/1/maps") as lines:
        start = int(next(lines).split("-")[0], 16)
    return call("process_vm_readv", 1, part, 1, struct.pack("<QQ", start, 8), 1, 0) == 8


@attempt
def takes_a_file_of_process_1() -> bool:
    return call("pidfd_getfd", call("pidfd_open", 1, 0), 3, 0) >= 0


@attempt
def puts_memory_of_process_1_aside() -> bool:
    with open("/proc/self/maps") as lines:
        start = int(next(lines).split("-")[0], 16)
    return call("process_madvise", call("pidfd_open", 1, 0), struct.pack("<QQ", start, 4096), 1, 20, 0) >= 0


@attempt
def finds_out_what_process_1_does() -> bool:
    names = ("auxv", "io", "syscall", "stack", "pagemap", "smaps_rollup", "timerslack_ns", "task/1/environ", "map_files/")
    for name in names:
        try:
            return bool(os.listdir("/proc/1/" + name) if name[-1] == "/" else read("/proc/1/" + name, 8))
        except OSError:
            continue
    return False


@attempt
def compares_itself_with_process_1() -> bool:
    return call("kcmp", os.getpid(), 1, 2, 0, 0) >= 0


@attempt
def stops_process_1() -> bool:
    os.kill(1, signal.SIGSTOP)
    return state_of(1) == "T"


@attempt
def ends_process_1() -> bool:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV):
        os.kill(1, number)
    return state_of(1) in "Z"


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as line:
        return line.read().rsplit(")", 1)[1].split()[0]


@attempt
def sees_processes_of_the_host() -> bool:
    names = {read(f"/proc/{pid}/comm").strip() for pid in os.listdir("/proc") if pid.isdigit()}
    return bool(names & {b"dockerd", b"containerd", b"systemd", b"agentrt", b"kthreadd", b"containerd-shim"})


@attempt
def gets_real_time_priority() -> bool:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    return True


@attempt
def raises_its_priority() -> bool:
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    return True


@attempt
def takes_limits_from_process_1() -> bool:
    resource.prlimit(1, resource.RLIMIT_NOFILE, resource.prlimit(0, resource.RLIMIT_NOFILE))  # as they are: it does no harm
    return True


@attempt
def lowers_the_priority_of_process_1() -> bool:
    os.setpriority(os.PRIO_PROCESS, 1, os.getpriority(os.PRIO_PROCESS, 1))
    return True


@attempt
def makes_process_1_a_batch_job() -> bool:
    os.sched_setscheduler(1, os.SCHED_OTHER, os.sched_param(0))
    return True


@attempt
def pins_process_1_to_a_processor() -> bool:
    os.sched_setaffinity(1, os.sched_getaffinity(0))
    return True
