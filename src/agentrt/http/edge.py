"""The outermost layer: what every request passes, whatever it is for."""

import re
import time
from collections.abc import Callable
from typing import Any

from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

from agentrt.kernel import AgentrtError, Denied, Invalid, Principal, Unavailable, new_body

from .cors import is_preflight, may_read, preflight_answer
from .errors import error_answer

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
_MOST_USER = 255
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ALWAYS = frozenset({"/health", "/health/live", "/health/ready"})
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_TYPES = ("application/json", "multipart/form-data")
# no web page can send a PUT to another origin without asking first, whatever its type; programs often declare none
_FILE_TYPES = ("application/octet-stream", "application/json", "")


class Edge:
    """Gives each request an id and a Principal, and refuses what must not come in.

    While bound to loopback, Host and Origin are checked, so that a web page cannot make a person's browser start runs
    (DNS rebinding, cross-site requests). A body must say that it is JSON, for the same reason. While draining: 503.
    `strict` is whether the server is bound to loopback; `foreign` says of a port of this machine that its pages are not to be
    trusted although they come from here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        strict: bool,
        hosts: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        draining: Callable[[], bool],
        foreign: Callable[[int], bool] = lambda port: False,
    ) -> None:
        self._app, self._strict, self._draining, self._foreign = app, strict, draining, foreign
        self._hosts = _LOOPBACK | {h.lower() for h in hosts}
        self._origins = frozenset(o.lower().rstrip("/") for o in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not request_id or not _REQUEST_ID.match(request_id):
            request_id = b"req_" + new_body().encode()
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        granted: list[tuple[bytes, bytes]] = []

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = [*message["headers"], (b"x-request-id", request_id), *granted]
                if b"x-agentrt-overhead-ms" not in dict(sent):
                    sent.append((b"x-agentrt-overhead-ms", b"%.3f" % ((time.perf_counter() - began) * 1e3)))
                message["headers"] = sent
            await send(message)

        try:
            if "who" not in state:  # whose socket it is knows better
                state["who"] = Principal(user=_user_of(headers))
            self._check(scope["method"], scope["path"], headers)
            _check_address(scope)
        except AgentrtError as exc:
            await _refuse(scope["path"], exc, send_with_id)
            return
        if origin := headers.get(b"origin"):
            granted += may_read(origin)
        if is_preflight(scope["method"], headers):
            await preflight_answer(headers, send_with_id)
        elif scope["method"] == "HEAD":
            state["bodiless"] = True  # for who would read much that nobody is sent
            await _head(self._app, scope, send_with_id)
        elif scope["method"] == "OPTIONS":
            await _options(self._app, scope, receive, send_with_id)
        else:
            await self._app(scope, receive, send_with_id)

    def _check(self, method: str, path: str, headers: dict[bytes, bytes]) -> None:
        if self._draining() and path not in _ALWAYS:
            raise Unavailable("the server is shutting down", code="server_shutting_down", retry_after_s=2)
        if self._strict:
            self._check_host(headers)
        origin = headers.get(b"origin", b"").decode("latin-1").lower().rstrip("/")
        if origin and not self._origin_allowed(origin, headers):
            raise Denied(f"requests from the origin {origin[:200]} are not allowed here", code="origin_not_allowed")
        if method in _BODY_METHODS and headers.get(b"content-length", b"1") != b"0":
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
            known = kind in (_FILE_TYPES if method == "PUT" else _TYPES)
            if not known and (kind or b"content-length" in headers or b"transfer-encoding" in headers):
                wanted = _FILE_TYPES[0] if method == "PUT" else _TYPES[0]
                why = f"the body must be {wanted}, not {kind or 'of no declared type'}"
                raise Invalid(why, code="unsupported_media_type")

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        host = _name_of(headers.get(b"host", b"").decode("latin-1"))
        if host not in self._hosts:
            raise Denied(f"the Host {host[:200]!r} is not served here; allow it with allowed_hosts", code="host_not_allowed")

    def _origin_allowed(self, origin: str, headers: dict[bytes, bytes]) -> bool:
        """The server's own pages, those an operator allows, and, on loopback, those served from this machine."""
        if origin in self._origins or "*" in self._origins:
            return True
        authority = origin.partition("://")[2]
        if authority == headers.get(b"host", b"").decode("latin-1").lower():
            return True
        return self._strict and _name_of(authority) in _LOOPBACK and not self._foreign(_port_of(authority))


def _user_of(headers: dict[bytes, bytes]) -> str:
    """Whole or not at all: two users must not become one. Programs send UTF-8, or what HTTP says of old, Latin-1."""
    named = headers.get(b"x-user-id", b"")
    try:
        user = named.decode()
    except UnicodeDecodeError:
        user = named.decode("latin-1")
    if len(user) > _MOST_USER:
        raise Invalid(f"x-user-id has more than {_MOST_USER} characters", code="invalid_user", param="x-user-id")
    return user


def _check_address(scope: Scope) -> None:
    """No name of ours holds a NUL, and PostgreSQL takes none."""
    if "\0" in scope["path"] or scope["query_string"].find(b"%00") >= 0:
        raise Invalid("the address holds a NUL", code="invalid_address")


def _port_of(authority: str) -> int:
    port = authority.rpartition(":")[2]
    return int(port) if port.isdecimal() and len(port) < 6 else 80


def _name_of(authority: str) -> str:
    """`[::1]:8080` → `::1`."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0].lower()


async def _head(app: ASGIApp, scope: Scope, send: Send) -> None:
    """What GET would answer, without its body; a stream ends where it would begin."""

    async def receive() -> HTTPReceiveMessage:
        return {"type": "http.disconnect"}

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    await _ask_as("GET", app, scope, receive, send_head)


async def _options(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The methods of the path. Litestar's own answer names those of one handler only; its refusal of a method names all."""
    allowed: list[tuple[bytes, bytes]] = []

    async def look(message: Message) -> None:
        if message["type"] == "http.response.start":
            allowed.extend(header for header in message["headers"] if header[0].lower() == b"allow")

    await _ask_as("NONE", app, scope, receive, look)
    if not allowed:
        await app(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 204, "headers": allowed})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _ask_as(method: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Ask with another method, and leave behind in `scope` which route it was."""
    inner: Any = {**scope, "method": method}
    try:
        await app(inner, receive, send)
    finally:
        if "path_template" in inner:
            scope["path_template"] = inner["path_template"]


async def _refuse(path: str, error: AgentrtError, send: Send) -> None:
    code, body, headers = error_answer(path, error)
    head = [(name.encode(), value.encode()) for name, value in headers.items()]
    head.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": code, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})
