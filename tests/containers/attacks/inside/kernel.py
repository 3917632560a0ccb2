"""Interfaces of the kernel that a box has no business with."""

import ctypes
import os
import socket
import struct
import time

from attempts import attempt, call


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
def takes_of_what_the_machine_has_few() -> bool:
    return call("io_setup", 1, ctypes.create_string_buffer(8)) >= 0  # of fs.aio-max-nr


@attempt
def hides_memory_from_the_machine() -> bool:
    return call("memfd_secret", 0) >= 0


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
    try:
        return call("acct", b"/nowhere/at/all") == 0
    except OSError as exc:
        return exc.errno == 2  # no such file: the kernel would have written to one


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
