"""What code in a box tries in order to get out, look around or do harm. Runs inside, with nothing but the standard library.

Prints one JSON object: the name of each attempt → true where it succeeded, false where it was stopped. Each attempt runs in a
process of its own, so that one which is killed for it spoils no other, and stops where it would do harm: it also runs where
nothing stops it. The order of classes follows a walk outwards: privileges,
namespaces and mounts, kernel interfaces, sockets, /proc and /dev, processes, files, limits.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import platform
import re
import resource
import signal
import socket
import struct
import sys
import time
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


# Privileges


@attempt
def has_effective_capabilities() -> bool:
    return int(status("CapEff"), 16) != 0


@attempt
def has_a_bounding_set() -> bool:
    return int(status("CapBnd"), 16) != 0


@attempt
def has_inheritable_or_ambient_capabilities() -> bool:
    return int(status("CapInh"), 16) | int(status("CapAmb"), 16) != 0


@attempt
def may_gain_privileges_by_exec() -> bool:
    return status("NoNewPrivs") != "1"


@attempt
def runs_without_a_filter() -> bool:
    return status("Seccomp") != "2"


@attempt
def is_root() -> bool:
    return os.getuid() == 0 or os.geteuid() == 0


@attempt
def becomes_root() -> bool:
    os.setuid(0)
    return os.getuid() == 0 and status("CapEff") != "0" * 16


@attempt
def joins_other_groups() -> bool:
    os.setgroups([0, 4, 27, 999])
    return True


@attempt
def finds_a_setuid_file() -> bool:
    for parent, folders, names in os.walk("/"):
        folders[:] = [] if parent in ("/proc", "/sys") else folders
        for name in names:
            try:
                if os.lstat(os.path.join(parent, name)).st_mode & 0o6000 and os.path.isfile(os.path.join(parent, name)):
                    return True
            except OSError:
                continue
    return False


@attempt
def gives_a_file_to_root() -> bool:
    path = "/tmp/mine"
    write(path, "x")
    os.chown(path, 0, 0)
    return True


@attempt
def makes_a_file_with_capabilities() -> bool:
    path = "/tmp/capable"
    write(path, "x")
    os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0, 0))
    return True


# Namespaces and mounts


@attempt
def makes_a_user_namespace() -> bool:
    return call("unshare", 0x10000000) == 0


@attempt
def makes_a_user_namespace_by_clone() -> bool:
    pid = call("clone", ctypes.c_long(0x10000000 | signal.SIGCHLD), None, None, None, None)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


@attempt
def makes_a_mount_namespace() -> bool:
    return call("unshare", 0x00020000) == 0


@attempt
def makes_a_network_namespace() -> bool:
    return call("unshare", 0x40000000) == 0


@attempt
def makes_a_pid_namespace() -> bool:
    return call("unshare", 0x20000000) == 0


@attempt
def enters_the_mounts_of_process_1() -> bool:
    return call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0) == 0


@attempt
def mounts_a_file_system() -> bool:
    return call("mount", b"none", b"/tmp", b"tmpfs", 0, None) == 0


@attempt
def mounts_proc_anew() -> bool:
    os.makedirs("/tmp/p", exist_ok=True)
    return call("mount", b"proc", b"/tmp/p", b"proc", 0, None) == 0


@attempt
def makes_the_root_writable() -> bool:
    return call("mount", None, b"/", None, 32 | 4096, None) == 0  # of this mount, not of the disk


@attempt
def unmounts_its_workspace() -> bool:
    return call("umount2", b"/workspace", 2) == 0


@attempt
def unmounts_a_mask() -> bool:
    return call("umount2", b"/proc/kcore", 2) == 0


@attempt
def pivots_its_root() -> bool:
    return call("pivot_root", b"/workspace", b"/workspace") == 0


@attempt
def changes_its_root() -> bool:
    return call("chroot", b"/tmp") == 0


@attempt
def clones_a_mount() -> bool:
    return call("open_tree", -100, b"/", 1) >= 0


@attempt
def opens_a_file_system() -> bool:
    return call("fsopen", b"tmpfs", 0) >= 0


@attempt
def changes_a_mounts_attributes() -> bool:
    return call("mount_setattr", -100, b"/", 0, struct.pack("<QQQQ", 0, 1, 0, 0), 32) == 0


@attempt
def opens_a_file_by_its_handle() -> bool:
    handle = struct.pack("<Ii", 8, 1) + struct.pack("<II", 2, 0)
    return call("open_by_handle_at", os.open("/workspace", os.O_RDONLY), handle, os.O_RDONLY) >= 0


# Kernel interfaces


@attempt
def loads_a_bpf_program() -> bool:
    attributes = ctypes.create_string_buffer(struct.pack("<IIII", 2, 4, 4, 1), 128)
    return call("bpf", 0, attributes, 128) >= 0


@attempt
def opens_performance_counters() -> bool:
    attributes = ctypes.create_string_buffer(struct.pack("<IIQ", 1, 112, 0), 112)
    return call("perf_event_open", attributes, 0, -1, -1, 0) >= 0


@attempt
def handles_page_faults() -> bool:
    return call("userfaultfd", 1) >= 0


@attempt
def sets_up_io_uring() -> bool:
    return call("io_uring_setup", 4, ctypes.create_string_buffer(120)) >= 0


@attempt
def adds_a_key() -> bool:
    return call("add_key", b"user", b"attack", b"x", 1, ctypes.c_int(-3)) >= 0


@attempt
def reads_a_keyring() -> bool:
    return call("keyctl", 0, ctypes.c_int(-3), 1) >= 0


@attempt
def asks_for_a_key() -> bool:
    try:
        return call("request_key", b"user", b"nothing", None, ctypes.c_int(-3)) >= 0
    except OSError as exc:
        return exc.errno == 126  # no such key: the kernel looked


@attempt
def loads_a_kernel_module() -> bool:
    try:
        return call("init_module", b"", 0, b"") == 0
    except OSError as exc:
        return exc.errno == 8  # no valid module: the kernel would have taken one


@attempt
def loads_a_kernel_module_from_a_file() -> bool:
    try:
        return call("finit_module", os.open("/etc/passwd", os.O_RDONLY), b"", 0) == 0
    except OSError as exc:
        return exc.errno == 8


@attempt
def loads_another_kernel() -> bool:
    return call("kexec_load", 0, 0, None, 0) == 0


@attempt
def watches_the_whole_file_system() -> bool:
    return call("fanotify_init", 0, 0) >= 0


@attempt
def reads_the_kernels_log() -> bool:
    return call("syslog", 3, ctypes.create_string_buffer(4096), 4096) >= 0


@attempt
def writes_process_accounts() -> bool:
    return call("acct", None) == 0


@attempt
def sets_the_clock() -> bool:
    # to what it is: where this succeeds, it is the clock of the whole machine
    return call("clock_settime", 0, struct.pack("<qq", *divmod(time.time_ns(), 10**9))) == 0


@attempt
def sets_the_host_name() -> bool:
    name = socket.gethostname().encode()  # the name that it has
    return call("sethostname", name, len(name)) == 0


@attempt
def uses_a_swap_file() -> bool:
    try:
        return call("swapon", b"/etc/passwd", 0) == 0
    except OSError as exc:
        return exc.errno == 22  # no swap file: the kernel looked


@attempt
def gets_at_ports_of_the_machine() -> bool:
    return call("iopl", 3) == 0


@attempt
def asks_about_quotas() -> bool:
    return call("quotactl", 0x800007 << 8, b"/dev/root", 0, ctypes.create_string_buffer(128)) == 0


@attempt
def takes_an_odd_personality() -> bool:
    return call("personality", 0x0400000) >= 0  # READ_IMPLIES_EXEC


# Sockets and the network


def opens(family: int, kind: int, protocol: int = 0) -> bool:
    socket.socket(family, kind, protocol).close()
    return True


@attempt
def opens_a_raw_socket() -> bool:
    return opens(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attempt
def opens_a_packet_socket() -> bool:
    return opens(17, socket.SOCK_RAW, 768)


@attempt
def opens_a_ping_socket() -> bool:
    return opens(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)


@attempt
def opens_a_vsock() -> bool:
    return opens(40, socket.SOCK_STREAM)


@attempt
def opens_a_crypto_socket() -> bool:
    return opens(38, socket.SOCK_SEQPACKET)


@attempt
def opens_a_socket_of_an_odd_family() -> bool:
    odd = [3, 4, 5, 6, 8, 9, 11, 15, 18, 20, 21, 23, 24, 26, 27, 29, 30, 31, 32, 33, 35, 36, 37, 39, 41, 42, 43, 44, 45]
    for family in odd:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                return opens(family, kind)
            except OSError:
                continue
    return False


def connects(host: str, port: int, family: int = socket.AF_INET) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        try:
            sock.connect((host, port))
        except ConnectionRefusedError:
            return True  # somebody answered: there is a way
    return True


@attempt
def reaches_the_metadata_service() -> bool:
    return connects("169.254.169.254", 80)


@attempt
def reaches_the_internet() -> bool:
    return connects("1.1.1.1", 443)


@attempt
def reaches_the_internet_by_ipv6() -> bool:
    return connects("2606:4700:4700::1111", 443, socket.AF_INET6)


@attempt
def reaches_the_engines_bridge() -> bool:
    return connects("172.17.0.1", 22)


@attempt
def resolves_a_name() -> bool:
    return bool(socket.getaddrinfo("example.com", 443))


@attempt
def has_an_interface_beside_loopback() -> bool:
    return any(name != "lo" and is_up(name) for _, name in socket.if_nameindex())


def is_up(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        flags = fcntl.ioctl(sock, 0x8913, struct.pack("16sH14x", name.encode(), 0))
    return bool(struct.unpack("16sH14x", flags)[1] & 1)


@attempt
def finds_the_engines_socket() -> bool:
    paths = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock")
    for path in paths:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(path)
                return True
            except OSError:
                continue
    return False


@attempt
def finds_an_abstract_socket_of_the_host() -> bool:
    with open("/proc/net/unix") as lines:
        return any("@" in line.rsplit(" ", 1)[-1] for line in lines)


@attempt
def dials_the_control_socket() -> bool:
    for name in os.listdir("/run/agentrt"):
        if name == "proxy.sock":
            continue  # meant to be dialled: a grant decides what it answers
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(os.path.join("/run/agentrt", name))
            return True
    return False


# /proc, /sys and /dev


@attempt
def sets_where_cores_go() -> bool:
    return write("/proc/sys/kernel/core_pattern", "|/tmp/x")


@attempt
def presses_sysrq() -> bool:
    with open("/proc/sysrq-trigger", "w"):
        return True


@attempt
def reads_kernel_memory() -> bool:
    return len(read("/proc/kcore")) > 0


@attempt
def reads_keys_of_the_machine() -> bool:
    return len(read("/proc/keys")) > 0


@attempt
def reads_timers_of_the_machine() -> bool:
    return len(read("/proc/timer_list")) > 0


@attempt
def changes_a_kernel_setting() -> bool:
    with open("/proc/sys/vm/overcommit_memory", "r+"):
        return True


@attempt
def reads_the_environment_of_process_1() -> bool:
    return len(read("/proc/1/environ", 1)) > 0


@attempt
def reads_the_memory_of_process_1() -> bool:
    with open("/proc/1/maps") as lines:
        start = int(next(lines).split("-")[0], 16)
    with open("/proc/1/mem", "rb") as memory:
        memory.seek(start)
        return len(memory.read(16)) == 16


@attempt
def looks_at_files_of_process_1() -> bool:
    return any(os.readlink(f"/proc/1/fd/{name}") for name in os.listdir("/proc/1/fd"))


@attempt
def looks_around_from_the_root_of_process_1() -> bool:
    return bool(os.listdir("/proc/1/root/"))


@attempt
def makes_process_1_the_first_to_be_killed() -> bool:
    return write("/proc/1/oom_score_adj", "1000")


@attempt
def saves_itself_from_the_oom_killer() -> bool:
    return write("/proc/self/oom_score_adj", "-1000")


@attempt
def writes_to_sys() -> bool:
    for parent, _, names in os.walk("/sys"):
        for name in names:
            if os.access(os.path.join(parent, name), os.W_OK):
                with open(os.path.join(parent, name), "r+"):
                    return True
    return False


@attempt
def changes_its_cgroup() -> bool:
    for parent, _, names in os.walk("/sys/fs/cgroup"):
        for name in ("memory.limit_in_bytes", "pids.max", "memory.max", "release_agent", "cgroup.procs"):
            if name in names and os.access(os.path.join(parent, name), os.W_OK):
                with open(os.path.join(parent, name), "r+"):
                    return True
    return False


@attempt
def makes_a_device() -> bool:
    os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0))
    return True


@attempt
def opens_a_disk() -> bool:
    disks = [name for name in os.listdir("/dev") if name.startswith(("sd", "vd", "xvd", "nvme", "loop", "dm-", "md"))]
    return any(os.close(os.open("/dev/" + name, os.O_RDONLY)) is None for name in disks)


@attempt
def opens_memory_or_the_log() -> bool:
    for name in ("mem", "kmem", "port", "kmsg", "kvm", "fuse", "net/tun", "uinput", "snapshot"):
        try:
            os.close(os.open("/dev/" + name, os.O_RDWR))
            return True
        except OSError:
            continue
    return False


@attempt
def types_into_a_terminal() -> bool:
    for fd in (0, 1, 2):
        try:
            fcntl.ioctl(fd, 0x5412, b"x")
            return True
        except OSError:
            continue
    with open("/dev/tty", "w") as tty:
        fcntl.ioctl(tty, 0x5412, b"x")
    return True


# Processes


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


# Files


@attempt
def writes_to_the_image() -> bool:
    for path in ("/attack", "/usr/bin/attack", "/etc/attack", "/opt/attack", "/var/attack", "/lib/attack"):
        try:
            return write(path, "x")
        except OSError:
            continue
    return False


@attempt
def changes_the_user_list() -> bool:
    with open("/etc/passwd", "a"):
        return True


@attempt
def changes_the_runner() -> bool:
    return any(os.access(path, os.W_OK) for path in ("/opt/agentrt/runner/__main__.py", "/opt/agentrt"))


@attempt
def leaves_a_file_beside_the_control_socket() -> bool:
    return write("/run/agentrt/attack", "x")


@attempt
def changes_a_skill() -> bool:
    return write("/skills/attack", "x")


@attempt
def changes_a_tool() -> bool:
    return write("/tools/attack", "x")


@attempt
def links_a_file_of_the_image_into_its_workspace() -> bool:
    os.link("/etc/passwd", "/workspace/link")
    return True


@attempt
def finds_a_secret_in_its_environment() -> bool:
    words = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
    return any(word in name.upper() for name in os.environ for word in words)


@attempt
def reads_the_hosts_home() -> bool:
    return any(os.path.isdir(path) and os.listdir(path) for path in ("/root", "/home"))


@attempt
def reads_shadow_passwords() -> bool:
    return len(read("/etc/shadow")) > 0


KERNELS = {"proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2"}
SAYS_NOTHING = re.compile(
    r"/|/newroot|/null"  # of what lies in memory
    r"|(/run)?/agentrt/[a-z0-9]+(/[a-z0-9]+)*"  # names made up for the box
    r"|/var/lib/(docker|containers)/.*|.*/containers/[0-9a-f]{64}/(hostname|hosts|resolv.conf)"  # an engine's own
)


def tells(line: str) -> bool:
    """Whether a line of mountinfo names a folder of the host that somebody chose."""
    known, _, rest = line.rstrip().partition(" - ")
    root, (kind, source, options) = known.split(" ")[3], rest.split(" ")
    paths = [] if kind in KERNELS else [root]
    paths += [path for option in options.split(",") for path in option.partition("=")[2].split(":") if "/" in path]
    paths += [source] if "/" in source and not source.startswith("/dev/") else []
    return any(SAYS_NOTHING.fullmatch(path) is None and "/overlay2/" not in path for path in paths)


@attempt
def learns_a_path_of_the_host_from_the_mounts() -> bool:
    with open("/proc/self/mountinfo") as lines:
        return any(tells(line) for line in lines)


@attempt
def learns_a_path_of_the_host_from_a_loop_device() -> bool:
    return any(read(str(path)) for path in pathlib.Path("/sys/devices/virtual/block").glob("*/loop/backing_file"))


@attempt
def learns_the_serial_number_of_the_machine() -> bool:
    return any(os.path.exists(f"/sys/{place}") for place in ("class/dmi/id", "devices/virtual/dmi/id", "block", "class/net"))


@attempt
def learns_the_hosts_name() -> bool:
    return socket.gethostname() != "sandbox"


# Limits


@attempt
def dumps_core() -> bool:
    return resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


@attempt
def opens_files_without_end() -> bool:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 4096


@attempt
def locks_memory() -> bool:
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] > 8 * 1024 * 1024


@attempt
def raises_a_limit() -> bool:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
    return True


@attempt
def fills_shared_memory() -> bool:
    with open("/dev/shm/fill", "wb") as file:
        for _ in range(80):
            file.write(b"x" * 1048576)
    os.unlink("/dev/shm/fill")
    return True


@attempt
def takes_a_pipe_of_many_megabytes() -> bool:
    _, writer = os.pipe()
    return fcntl.fcntl(writer, 1031, 64 * 1024 * 1024) >= 64 * 1024 * 1024


@attempt
def reads_along_at_its_own_output() -> bool:
    """The pipe is the host's: what somebody else may write into it is not this code's to take."""
    return os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK) > 0


@attempt
def changes_the_rights_of_its_output() -> bool:
    os.fchmod(1, os.fstat(1).st_mode & 0o777)
    return True


@attempt
def has_a_folder_open_that_it_did_not_open() -> bool:
    return any(os.path.isdir(f"/proc/self/fd/{fd}") for fd in range(3, 256))


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


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # in a weak container this is process 1, and goes on to the last attempt
    sys.stdout.write(json.dumps({name: carry_out(function) for name, function in TRIES.items()}))
