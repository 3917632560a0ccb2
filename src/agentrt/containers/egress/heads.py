"""Heads of requests and answers on their way through a published port: whose they are, and nothing of anybody else's. Pure."""

import re
from collections.abc import Callable

MOST_HEAD = 65_536

_REQUEST = re.compile(rb"[A-Z]{1,20} [!-~\x80-\xff]+ HTTP/1\.[01]\r?\n")
_PERHAPS = re.compile(rb"[A-Z]{1,20}(?: |\Z)")
_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection"))
_END = re.compile(rb"\r?\n\r?\n")


class Untrusted(Exception):
    """A request that did not mean this port, or cannot be read."""


def is_http(data: bytes) -> bool | None:
    """Whether a connection that begins so speaks HTTP; None while that cannot be told."""
    if _REQUEST.match(data):
        return True
    if _PERHAPS.match(data) and b"\n" not in data and len(data) < MOST_HEAD:
        return None
    return False


def end_of_head(data: bytes) -> int:
    """Where the head ends; -1 while more of it is needed. Untrusted where it is too long."""
    found = _END.search(data)
    if found is None and len(data) > MOST_HEAD:
        raise Untrusted("the head is too long")
    return found.end() if found else -1


def request_head(head: bytes, port: int) -> bytes:
    """The head as the box gets it: one request, no cookies. Untrusted unless it means this port of this machine: a page whose
    name was made to point here (DNS rebinding) names itself."""
    first, *lines = _lines(head)
    names = {f"{host}:{port}".encode() for host in ("127.0.0.1", "localhost", "[::1]")}
    hosts = [value.lower() for name, value in lines if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in names:
        raise Untrusted("the Host header names another place than this port")
    if any(name == b"service-worker" for name, _ in lines):
        raise Untrusted("a container leaves no service worker in a browser, which would outlive it")
    if not first[1].startswith(b"/") and first[1] != b"*":
        raise Untrusted("the target is not a path")
    return _rebuilt(head, lines, lambda name: name in (b"cookie", b"cookie2"))


def answer_head(head: bytes) -> bytes:
    """The head as the caller gets it: it sets no cookies, which other ports of this machine would be sent too."""
    return _rebuilt(head, _lines(head)[1:], lambda name: name in (b"set-cookie", b"set-cookie2", b"clear-site-data"))


def status_of(head: bytes) -> int:
    parts = head.split(None, 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def _lines(head: bytes) -> list[tuple[bytes, bytes]]:
    """Method and target first (or what an answer begins with), then names in lower case with their values. Untrusted for lines
    that two readers could read in two ways."""
    first, *rest = head.rstrip(b"\r\n").replace(b"\r\n", b"\n").split(b"\n")
    if b"\r" in first or any(not line or line[:1] in b" \t" or b"\r" in line or b"\0" in line for line in rest):
        raise Untrusted("the head is malformed")
    words = first.split(b" ")
    out = [(words[0], words[1] if len(words) > 1 else b"")]
    for line in rest:
        name, colon, value = line.partition(b":")
        if not colon or name != name.strip():
            raise Untrusted("the head is malformed")
        out.append((name.lower(), value.strip()))
    return out


def _rebuilt(head: bytes, lines: list[tuple[bytes, bytes]], drops: Callable[[bytes], bool]) -> bytes:
    """Without what is dropped, and the last on its connection, unless it changes the protocol: what follows was not looked at."""
    first = head.replace(b"\r\n", b"\n").split(b"\n", 1)[0]
    upgrades = any(name == b"upgrade" for name, _ in lines)
    kept = [
        (n, v) for n, v in lines if not drops(n) and (upgrades or n not in (b"connection", b"keep-alive", b"proxy-connection"))
    ]
    if not upgrades:
        kept.append((b"connection", b"close"))
    return first + b"\r\n" + b"".join(b"%b: %b\r\n" % line for line in kept) + b"\r\n"
