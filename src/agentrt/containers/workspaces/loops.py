"""Loop devices: a file as a disk."""

import ctypes
import errno
import fcntl
import os
from pathlib import Path

_CONTROL = "/dev/loop-control"
_CTL_GET_FREE, _CONFIGURE, _GET_STATUS64 = 0x4C82, 0x4C0A, 0x4C05
_AUTOCLEAR = 4
_ATTEMPTS = 64


class _Info(ctypes.Structure):
    _fields_ = [
        ("device", ctypes.c_uint64),
        ("inode", ctypes.c_uint64),
        ("rdevice", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("sizelimit", ctypes.c_uint64),
        ("number", ctypes.c_uint32),
        ("encrypt_type", ctypes.c_uint32),
        ("encrypt_key_size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("file_name", ctypes.c_char * 64),
        ("crypt_name", ctypes.c_char * 64),
        ("encrypt_key", ctypes.c_char * 32),
        ("init", ctypes.c_uint64 * 2),
    ]


class _Config(ctypes.Structure):
    _fields_ = [
        ("fd", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("info", _Info),
        ("reserved", ctypes.c_uint64 * 8),
    ]


class Loop:
    """A loop device over an image, held by a descriptor: it frees itself when this and every mount of it are gone."""

    def __init__(self, image: Path) -> None:
        """OSError where the machine has no loop devices, or none left."""
        with image.open("r+b") as file:
            # the same device again where one is left, or two would write over each other in one image
            self._fd, self.path = _bound_to(file.fileno()) or _bind(file.fileno())

    def __enter__(self) -> "Loop":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def is_bound(image: Path) -> bool:
    """Whether a device over this image is there, so that somebody may still write to it. OSError."""
    with image.open("rb") as file:
        found = _bound_to(file.fileno())
    if found is not None:
        os.close(found[0])
    return found is not None


def _bound_to(image: int) -> tuple[int, str] | None:
    wanted = os.fstat(image)
    for entry in Path("/sys/block").glob("loop*/loop"):
        path = f"/dev/{entry.parts[3]}"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        info = _Info()
        try:
            fcntl.ioctl(fd, _GET_STATUS64, info)
        except OSError:  # it was just freed
            os.close(fd)
            continue
        if (info.inode, info.device) == (wanted.st_ino, wanted.st_dev):
            return fd, path  # cannot be freed while we hold it
        os.close(fd)
    return None


def _bind(image: int) -> tuple[int, str]:
    config = _Config(fd=image)
    config.info.flags = _AUTOCLEAR
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            path = f"/dev/loop{fcntl.ioctl(control, _CTL_GET_FREE)}"
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, _CONFIGURE, config)
                return fd, path
            except OSError as exc:
                os.close(fd)
                if exc.errno != errno.EBUSY:  # somebody else took it first
                    raise
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no loop device is free")
