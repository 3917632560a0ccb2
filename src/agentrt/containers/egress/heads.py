"""Heads of requests and answers on their way through a published port: whose they are, and nothing of anybody else's. Pure."""

import re
from collections.abc import Callable

MOST_HEAD = 65_536

# browsers send any method that a page asks for
_METHOD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(_METHOD + rb" [!-~\x80-\xff]+ HTTP/1\.[01]")
_ANSWER = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: .*)?")
_PERHAPS = re.compile(_METHOD + rb"(?: |\Z)")
_OTHER_VERSION = b"PRI * HTTP/2.0"  # which no browser speaks without TLS
_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection"))
_END = re.compile(rb"\r?\n\r?\n")


# browsers look for it behind a few other bytes, too
_LIKE_AN_ANSWER = re.compile(rb"http|icy ", re.IGNORECASE)
LOOKED_AT = 32


class Untrusted(Exception):
    """A request that did not mean this port, or cannot be read."""


def is_http(data: bytes) -> bool | None:
    """Whether a connection that begins so speaks HTTP, well or badly; None while that cannot be told. Untrusted where its first
    line is too long for that."""
    line, whole, _ = data.partition(b"\n")
    if not _PERHAPS.match(line):
        return False
    if whole:
        return b"HTTP/" in line.upper() and line.rstrip(b"\r") != _OTHER_VERSION
    if len(line) > MOST_HEAD:
        raise Untrusted("the head is too long")
    return None


def may_be_answer(data: bytes) -> bool:
    """Whether a browser may read an answer in what begins so."""
    return bool(_LIKE_AN_ANSWER.search(data[:LOOKED_AT]))


def end_of_head(data: bytes) -> int:
    """Where the head ends; -1 while more of it is needed. Untrusted where it is too long."""
    found = _END.search(data)
    if (found.end() if found else len(data)) > MOST_HEAD:
        raise Untrusted("the head is too long")
    return found.end() if found else -1


def request_head(head: bytes, port: int) -> bytes:
    """The head as the box gets it: one request, no cookies. Untrusted unless it means this port of this machine: a page whose
    name was made to point here (DNS rebinding) names itself."""
    first, lines = _lines(head)
    if not _REQUEST.fullmatch(first):
        raise Untrusted("the head is malformed")
    names = {f"{host}:{port}".encode() for host in ("127.0.0.1", "localhost", "[::1]")}
    hosts = [value.lower() for name, value in lines if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in names:
        raise Untrusted("the Host header names another place than this port")
    if any(name == b"service-worker" for name, _ in lines):
        raise Untrusted("a container leaves no service worker in a browser, which would outlive it")
    target = first.split(b" ")[1]
    if not target.startswith(b"/") and target != b"*":
        raise Untrusted("the target is not a path")
    return _rebuilt(first, lines, lambda name: name in (b"cookie", b"cookie2"), last=not asks_for_another(head))


def asks_for_another(head: bytes) -> bool:
    """Whether a request asks for another protocol."""
    return any(name == b"upgrade" for name, _ in _lines(head)[1])


def answer_head(head: bytes, *, asked: bool) -> tuple[int, bytes]:
    """Its status, and the head as the caller gets it: it sets no cookies, which other ports of this machine would be sent too.
    `asked`: for another protocol. Untrusted where it begins one unasked, or cannot be read."""
    first, lines = _lines(head)
    found = _ANSWER.fullmatch(first)
    if found is None:
        raise Untrusted("the container's answer is malformed")
    status = int(found[1])
    if status == 101 and not asked:
        raise Untrusted("the container answers in a protocol that nobody asked for")
    dropped = (b"set-cookie", b"set-cookie2", b"clear-site-data")
    return status, _rebuilt(first, lines, lambda name: name in dropped, last=status != 101)


def _lines(head: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The first line, then names in lower case with their values. Untrusted for lines that two readers could read in two ways."""
    first, *rest = head.rstrip(b"\r\n").replace(b"\r\n", b"\n").split(b"\n")
    if b"\r" in first or any(not line or line[:1] in b" \t" or b"\r" in line or b"\0" in line for line in rest):
        raise Untrusted("the head is malformed")
    out = []
    for line in rest:
        name, colon, value = line.partition(b":")
        if not colon or name != name.strip():
            raise Untrusted("the head is malformed")
        out.append((name.lower(), value.strip()))
    return first, out


def _rebuilt(first: bytes, lines: list[tuple[bytes, bytes]], drops: Callable[[bytes], bool], *, last: bool) -> bytes:
    """Without what is dropped, and the `last` on its connection unless the protocol changes: what follows was not looked at."""
    kept = [(name, value) for name, value in lines if not drops(name) and not (last and name in _CONNECTION)]
    if last:
        kept.append((b"connection", b"close"))
    return first + b"\r\n" + b"".join(b"%b: %b\r\n" % line for line in kept) + b"\r\n"
