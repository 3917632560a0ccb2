"""Opening what lies beneath a folder, and only that, whatever somebody inside does to the names meanwhile."""

import ctypes
import errno
import os
import stat
from typing import NoReturn

from agentrt.kernel import AgentrtError, Invalid, NotFound, TooLarge, Unavailable

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 1, 2, 4, 8
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW
_OPENED = os.O_NONBLOCK | os.O_NOCTTY  # opening a FIFO waits for nobody
MOST_PATH, _MOST_NAME = 4000, 255
READ_WRITE, ENTER, CHANGE = 0o600, 0o500, 0o700
_TRIES = 64


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def checked(path: str) -> str:
    """A path within a workspace, `.` for the workspace itself: relative, printable, nothing that leads up. Invalid."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/"):
        raise _refusal(path, "is absolute; paths begin in the workspace")
    if ".." in parts:
        raise _refusal(path, "leads out of the workspace")
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        raise _refusal(path, "holds a control character")
    try:
        long = len(path.encode()) > MOST_PATH or any(len(part.encode()) > _MOST_NAME for part in parts)
    except UnicodeEncodeError:
        raise _refusal(path, "is not UTF-8") from None
    if long:
        raise _refusal(path, "is too long")
    return "/".join(parts) or "."


def nameable(name: str) -> bool:
    """Whether a name found on disk can be asked for."""
    return not any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) <= 0xDFFF for char in name)


def open_beneath(root: int, path: str, flags: int, mode: int = 0) -> int:
    """openat2(2): no link anywhere in `path`, no other file system, nothing outside `root`. OSError."""
    try:
        return _open(root, path, flags, mode)
    except PermissionError:
        if not _unlock(root, path):
            raise
    return _open(root, path, flags, mode)


def regain(fd: int, rights: int) -> None:
    """Where code and server are one user: give the owner of an open file these rights back, which code took from itself."""
    found = os.fstat(fd)
    if found.st_uid == os.geteuid() != 0 and found.st_mode & rights != rights:
        # by this name also what was opened as a path only
        os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(found.st_mode) | rights)


def _unlock(root: int, path: str) -> bool:
    """The same for everything on the way to `path`, itself included; False where that is not what keeps us out."""
    if os.geteuid() == 0:
        return False
    regain(root, ENTER)
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        try:
            fd = _open(root, "/".join(parts[:count]), os.O_PATH, 0)
        except OSError:
            return False
        try:
            regain(fd, READ_WRITE if stat.S_ISREG(mode := os.fstat(fd).st_mode) else ENTER if stat.S_ISDIR(mode) else 0)
        finally:
            os.close(fd)
    return True


def _open(root: int, path: str, flags: int, mode: int) -> int:
    flags |= _ALWAYS if flags & os.O_PATH else _ALWAYS | _OPENED
    how = _How(flags, mode, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV)
    for left in reversed(range(_TRIES)):
        fd = _LIBC.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_long(root),
            os.fsencode(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        # EAGAIN: a name moved while it was looked up, or somebody inside has a lease on the file, who may keep it for long
        if code not in (errno.EINTR, errno.EAGAIN) or not left:
            raise OSError(code, os.strerror(code), path)
    raise AssertionError("the last try returns or raises")


def open_folder(root: int, path: str) -> int:
    """A descriptor of a folder; the refusals of `explain`."""
    try:
        return open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        explain(exc, path)


def open_file(root: int, path: str) -> tuple[int, os.stat_result]:
    """A descriptor of a regular file to read; Invalid for everything else, else the refusals of `explain`."""
    try:
        fd = open_beneath(root, path, os.O_RDONLY)
    except OSError as exc:
        explain(exc, path)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise _refusal(path, "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a regular file", "not_a_file")
    return fd, found


def explain(exc: OSError, path: str) -> NoReturn:
    """Raise what `exc` means for somebody who asked for `path`."""
    raise _meaning(exc, path) from exc


def full() -> TooLarge:
    return TooLarge("no space left in this workspace", code="workspace_full")


def _meaning(exc: OSError, path: str) -> AgentrtError:
    match exc.errno:
        case errno.ENOENT:
            return NotFound(f"there is no {_shown(path)} in this workspace", code="path_not_found", param="path")
        case errno.ELOOP:
            return _refusal(path, "is a link or leads through one, and links are not followed", "not_a_file")
        case errno.EXDEV:
            return _refusal(path, "leads out of the workspace")
        case errno.ENOTDIR:
            return _refusal(path, "leads through something that is no folder", "not_a_folder")
        case errno.EISDIR:
            return _refusal(path, "is a folder", "not_a_file")
        case errno.ENXIO | errno.ENODEV:
            return _refusal(path, "is not a regular file", "not_a_file")
        case errno.ENAMETOOLONG:
            return _refusal(path, "is too long")
        case errno.EEXIST:
            return _refusal(path, "is there already", "path_exists")
        case errno.ENOTEMPTY:
            return _refusal(path, "is a folder that is not empty", "folder_not_empty")
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EMLINK:
            return full()
        case errno.EAGAIN:
            return _refusal(path, "is held by a program in the sandbox", "file_held")
        case errno.EACCES | errno.EPERM | errno.ETXTBSY | errno.EBUSY:
            return _refusal(path, "cannot be changed")
        case _:
            return Unavailable(f"the workspace refuses: {exc.strerror}", code="workspace_unavailable")


def _refusal(path: str, why: str, code: str = "invalid_path") -> Invalid:
    return Invalid(f"the path {_shown(path)} {why}", code=code, param="path")


def _shown(path: str) -> str:
    return ascii(path if len(path) <= 120 else path[:120] + "…") if not path.isprintable() else repr(path[:120])
