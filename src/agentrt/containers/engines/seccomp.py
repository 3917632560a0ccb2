"""The system calls that code may make; docs/sandbox-syscalls.md says where the profile departs from the usual, line by line.

Docker compiles the profile with libseccomp; so do we for bubblewrap, through the same library, so that both let through the
same calls.
"""

import ctypes
import errno
import os
from collections.abc import Mapping
from ctypes import c_char_p, c_int, c_uint, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ..errors import EngineUnavailable

PROFILE = Path(__file__).with_name("seccomp.json")

_LIBRARY = "libseccomp.so.2"
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_COMPARISONS = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6}
_MASKED = 7
_ATTRIBUTE_NO_NEW_PRIVS, _ATTRIBUTE_OPTIMIZE = 3, 8


class Arg(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    value: int
    value_two: int = msgspec.field(default=0, name="valueTwo")
    op: str


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    names: tuple[str, ...]
    action: str
    errno_ret: int = msgspec.field(default=errno.EPERM, name="errnoRet")
    args: tuple[Arg, ...] = ()
    comment: str = ""


class Profile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A profile in the form that Docker takes. What it does not name fails with EPERM."""

    default_action: str
    default_errno_ret: int
    arch_map: tuple[Mapping[str, Any], ...] = ()
    syscalls: tuple[Rule, ...]


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", c_uint), ("op", c_int), ("datum_a", c_uint64), ("datum_b", c_uint64)]


@cache
def profile_text() -> str:
    """The profile as Docker's API takes it."""
    return PROFILE.read_text()


@cache
def compiled() -> bytes:
    """The profile as a program for the kernel of this machine; EngineUnavailable without libseccomp."""
    profile = msgspec.json.decode(profile_text(), type=Profile)
    library = _library()
    context = c_void_p(library.seccomp_init(_ERRNO | profile.default_errno_ret))
    try:
        _checked(library.seccomp_attr_set(context, _ATTRIBUTE_NO_NEW_PRIVS, 0))  # bubblewrap sees to that
        library.seccomp_attr_set(context, _ATTRIBUTE_OPTIMIZE, 2)  # a tree instead of a list, where the library has it
        for rule in profile.syscalls:
            _add(library, context, rule)
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: c_void_p, rule: Rule) -> None:
    action = _ALLOW if rule.action == "SCMP_ACT_ALLOW" else _ERRNO | rule.errno_ret
    comparisons = (_Comparison * len(rule.args))(*map(_comparison, rule.args))
    for name in rule.names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # another architecture's, or younger than the library
            continue
        _checked(library.seccomp_rule_add_array(context, action, number, len(rule.args), comparisons))


def _comparison(arg: Arg) -> _Comparison:
    if arg.op == "SCMP_CMP_MASKED_EQ":
        return _Comparison(arg.index, _MASKED, arg.value, arg.value_two)
    return _Comparison(arg.index, _COMPARISONS[arg.op], arg.value, 0)


def _exported(library: ctypes.CDLL, context: c_void_p) -> bytes:
    fd = os.memfd_create("seccomp")
    try:
        _checked(library.seccomp_export_bpf(context, fd))
        size = os.lseek(fd, 0, os.SEEK_CUR)
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise EngineUnavailable("bubblewrap needs libseccomp: install the package libseccomp2.") from error
    library.seccomp_init.restype = c_void_p
    library.seccomp_init.argtypes = [c_uint32]
    library.seccomp_release.argtypes = [c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_attr_set.argtypes = [c_void_p, c_int, c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [c_char_p]
    library.seccomp_rule_add_array.argtypes = [c_void_p, c_uint32, c_int, c_uint, c_void_p]
    library.seccomp_export_bpf.argtypes = [c_void_p, c_int]
    return library


def _checked(code: int) -> None:
    if code < 0:
        raise OSError(-code, os.strerror(-code))
