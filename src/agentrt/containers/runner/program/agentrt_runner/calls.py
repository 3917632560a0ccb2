"""TCP sockets that the host asks for; they are made here, where the ports are, and handed out."""

import os
import select
import socket
import time

CALL_S = 4.0


class Calls:
    def __init__(self, poll, answer):
        self._poll = poll
        self._answer = answer
        self._open = {}

    def __contains__(self, fd):
        return fd in self._open

    def due(self):
        return [at for _, _, at in self._open.values()]

    def dial(self, number, port):
        call = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._open[call.fileno()] = (call, number, time.monotonic() + CALL_S)
        self._poll.register(call, select.POLLOUT)
        try:
            call.connect(("127.0.0.1", port))
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(call.fileno(), error.strerror)

    def listen(self, number, port):
        """The host answers on this port of the box: nothing in here stands between it and whoever calls."""
        place = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind(("127.0.0.1", port))
            place.listen(128)
        except OSError as error:
            self._answer(number, failed=error.strerror)
        else:
            self._answer(number, (place.fileno(),))
        finally:
            place.close()

    def ready(self, fd):
        call, number, _ = self._open[fd]
        error = call.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(fd, os.strerror(error))
            return
        self._forget(fd)
        self._answer(number, (fd,))
        call.close()

    def tick(self, now):
        for fd in [fd for fd, (_, _, at) in self._open.items() if now >= at]:
            self._fail(fd, "no answer")

    def _fail(self, fd, reason):
        call, number, _ = self._open[fd]
        self._forget(fd)
        call.close()
        self._answer(number, failed=reason)

    def _forget(self, fd):
        self._poll.unregister(fd)
        del self._open[fd]
