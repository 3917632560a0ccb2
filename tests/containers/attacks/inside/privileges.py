"""Rights: having some, or getting more."""

import os
import struct

from attempts import attempt, status, write


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
