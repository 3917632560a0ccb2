"""Namespaces and mounts."""

import ctypes
import os
import signal
import struct

from attempts import attempt, call


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
