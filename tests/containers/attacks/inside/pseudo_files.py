"""What /proc, /sys and /dev tell and take."""

import fcntl
import os

from attempts import attempt, read, write


@attempt
def sets_where_cores_go() -> bool:
    with open("/proc/sys/kernel/core_pattern", "r+") as place:
        place.write(place.read())  # as it is: it does no harm
    return True


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
