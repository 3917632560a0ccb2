"""The two pipes that a job writes into. The host makes them, so what comes out can only be output."""

import asyncio
import contextlib
import os
from collections.abc import Callable

from .job import Stream, Taker

CHUNK = 65_536
# how much one stream may hand over before the loop has a turn
TURN_BYTES = 4 * CHUNK
# as large as whoever writes can make a pipe; it holds a page for each short write, or packs them into one
PIPE_BYTES, PAGE = 1024 * 1024, 4096


class Pipes:
    """Hands output to `taker` as it comes, up to `cap` bytes of both streams together; holds none of it back.

    `full` is called once, when there was more than `cap`; `closed` when both streams are at their end.
    """

    def __init__(self, taker: Taker, cap: int, full: Callable[[], None], closed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._taker = taker
        self._left = cap
        self._full = full
        self._closed = closed
        self._ends: dict[Stream, int] = {}
        self.taken = 0
        self.failure: BaseException | None = None
        self._writers: list[int] = []
        try:
            self._open()
        except OSError:
            self.close()
            raise

    def _open(self) -> None:
        streams: tuple[Stream, ...] = ("stdout", "stderr")
        for stream in streams:
            read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._ends[stream] = read
            self._writers.append(write)
            os.set_blocking(write, True)
            os.fchmod(write, 0o622)  # code of another user may open /dev/stdout, which is this pipe
            self._loop.add_reader(read, self._ready, stream, read)

    @property
    def open(self) -> bool:
        return bool(self._ends)

    def drain(self) -> None:
        """Take what is in the pipes now, and not what is written meanwhile: that may never end."""
        for stream, fd in list(self._ends.items()):
            left = PIPE_BYTES
            while left > 0 and stream in self._ends and (got := self._read(stream, fd)):
                left -= max(got, PAGE)

    def give_writers(self) -> list[int]:
        """The ends that are written into, stdout first; they are the caller's to close."""
        writers, self._writers = self._writers, []
        return writers

    def close(self) -> None:
        """Stop reading; whoever still writes gets a broken pipe."""
        for fd in self.give_writers():
            os.close(fd)
        for stream in list(self._ends):
            self._end(stream)

    def _ready(self, stream: Stream, fd: int) -> None:
        turn = TURN_BYTES
        while turn > 0 and self._ends.get(stream) == fd:
            got = self._read(stream, fd)
            if got < CHUNK:
                return
            turn -= got

    def _read(self, stream: Stream, fd: int) -> int:
        """The number of bytes taken; 0 where there is nothing, or no more."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return 0
        if not data:
            self._end(stream)
            if not self._ends:
                self._closed()
            return 0
        if len(data) > self._left:
            self._take(stream, data[: self._left])
            self.close()
            self._full()
            return 0
        self._take(stream, data)
        return len(data)

    def _take(self, stream: Stream, data: bytes) -> None:
        self._left -= len(data)
        self.taken += len(data)
        if data and self.failure is None:
            try:
                self._taker(stream, data)
            except Exception as error:  # the taker's own; it is raised to the one who gave it
                self.failure = error
                self.close()
                self._full()

    def _end(self, stream: Stream) -> None:
        fd = self._ends.pop(stream, None)
        if fd is not None:
            self._loop.remove_reader(fd)
            with contextlib.suppress(OSError):
                os.close(fd)
