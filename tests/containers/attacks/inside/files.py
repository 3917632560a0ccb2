"""Files of the image and of others; limits."""

import ctypes
import fcntl
import os
import pathlib
import re
import resource
import socket
import struct

from attempts import attempt, call, read, write


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
    r"|/proc/self/fd/[0-9]+"  # of whoever mounted it
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


@attempt
def makes_a_file_that_nobody_can_remove() -> bool:
    with open("/tmp/forever", "w") as file:
        flags = struct.unpack("l", fcntl.ioctl(file, 0x80086601, bytes(8)))[0]
        fcntl.ioctl(file, 0x40086602, struct.pack("l", flags | 0x10))
        fcntl.ioctl(file, 0x40086602, struct.pack("l", flags))
    return True


# Limits


@attempt
def dumps_core() -> bool:
    return resource.getrlimit(resource.RLIMIT_CORE)[1] > 1


@attempt
def has_the_machine_look_at_its_core() -> bool:
    # where the machine has a program for it, the kernel starts that at every crash, outside, whatever the limit is but for 1
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 1:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return True


@attempt
def has_the_machine_look_at_its_core_by_an_older_call() -> bool:
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 1:
        call("setrlimit", 4, struct.pack("<QQ", 0, 0))
    return True


@attempt
def has_the_machine_look_at_its_core_by_an_odd_number() -> bool:
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 1:
        call("prlimit64", 0, ctypes.c_ulong((1 << 32) + 4), struct.pack("<QQ", 0, 0), None)  # the kernel looks at half of it
    return True


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
