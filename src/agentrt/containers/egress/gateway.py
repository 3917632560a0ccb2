"""The model gateway: our own `/v1`, served on a box's socket to whom the socket stands for."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from .exchange import Exchange
from .grant import Grant
from .meter import Load
from .requests import Refused

Message = MutableMapping[str, Any]
Application = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
"""An ASGI application. It believes the principal in `scope["state"]["who"]`."""

_REACHABLE = (
    ("POST", re.compile(rb"/v1/(?:chat/completions|embeddings)\Z")),
    ("GET", re.compile(rb"/v1/models(?:/[A-Za-z0-9][A-Za-z0-9._:@-]*)*\Z")),
)
# nothing that names another person, session, origin or credential
_TAKEN = frozenset((b"accept", b"content-type", b"content-length", b"idempotency-key", b"user-agent", b"x-agentrt-events"))


def is_meant(target: bytes) -> bool:
    """Whether a request's target lies in the gateway."""
    return target.startswith(b"/v1/")


async def serve_models(application: Application, exchange: Exchange, grant: Grant, load: Load) -> None:
    """Answer one request. Refused where the box may not call models now, or asks for anything else of `/v1`. `load` is what the
    box's requests hold at once."""
    method = exchange.head.method
    raw, _, query = exchange.head.target.partition(b"?")
    path = unquote_to_bytes(raw)  # SDKs encode the slash in a model's name
    exchange.upstream = "models"
    if not any(method == allowed and shape.match(path) for allowed, shape in _REACHABLE):
        raise Refused(404, "not_found", "there is nothing here; chat completions, embeddings and models are")
    if not grant.rule.models:
        raise Refused(403, "models_not_allowed", "this agent's code may not call models")
    if not grant.run_id:
        raise Refused(409, "no_run", "models are called while a run executes this code")
    bridge = _Bridge(exchange, load)
    try:
        await application(_scope(exchange, grant, path, raw, query), bridge.receive, bridge.send)
    finally:
        load.give_back(bridge.held)
    if bridge.refused is not None:
        raise bridge.refused
    if not bridge.ended:
        raise Refused(500, "internal_error", "the server made a mistake; its log says more")


def _scope(exchange: Exchange, grant: Grant, path: bytes, raw: bytes, query: bytes) -> Message:
    headers = [(name, value) for name, value in exchange.head.headers if name in _TAKEN]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": exchange.head.method,
        "scheme": "http",
        "path": path.decode("ascii"),
        "raw_path": raw,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "client": None,
        "server": ("localhost", 80),
        "state": {"who": msgspec.structs.replace(grant.who, run=grant.run_id)},
    }


class _Bridge:
    """The two channels of ASGI over one exchange. `refused`: the body cannot be taken, which the application sees as a hang-up,
    and what it answers to that is not told; `held` are the bytes of the body so far."""

    def __init__(self, exchange: Exchange, load: Load) -> None:
        self._exchange, self._load = exchange, load
        self._start: Message | None = None
        self._told = False
        self.ended = False
        self.refused: Refused | None = None
        self.held = 0

    async def receive(self) -> Message:
        exchange = self._exchange
        if self.refused is None and (not self._told or exchange.requests.unread):
            self._told = True
            try:
                return {"type": "http.request", "body": await self._body(), "more_body": exchange.requests.unread}
            except Refused as exc:
                self.refused = exc
            except OSError:  # it left without a word
                pass
        elif self.refused is None and not self.ended:
            try:
                await exchange.requests.gone()
            except OSError:  # it left without a word
                await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def _body(self) -> bytes:
        data = await self._exchange.body()
        if not self._load.take(len(data)):
            raise Refused(429, "too_many_bytes", "too much is sent at once", wait_s=1.0, last=True)
        self.held += len(data)
        return data

    async def send(self, message: Message) -> None:
        exchange = self._exchange
        if self.refused is not None:
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            lengths = [value for name, value in self._start["headers"] if name == b"content-length"]
            headers = [(n, v) for n, v in self._start["headers"] if n not in (b"content-length", b"connection")]
            exchange.begin(self._start["status"], headers, int(lengths[0]) if lengths else None)
            self._start = None
        await exchange.write(message.get("body", b""))
        if not message.get("more_body"):
            self.ended = True
            await exchange.end()
