"""The model gateway: our own `/v1`, served on a box's socket to whom the socket stands for."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from .exchange import Exchange
from .grant import Grant
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


async def serve_models(application: Application, exchange: Exchange, grant: Grant) -> None:
    """Answer one request. Refused where the box may not call models now, or asks for anything else of `/v1`."""
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
    bridge = _Bridge(exchange)
    await application(_scope(exchange, grant, path, raw, query), bridge.receive, bridge.send)
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
    """The two channels of ASGI over one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._start: Message | None = None
        self._told = False
        self.ended = False

    async def receive(self) -> Message:
        exchange = self._exchange
        if not self._told or exchange.requests.unread:
            self._told = True
            data = await exchange.body()
            return {"type": "http.request", "body": data, "more_body": exchange.requests.unread}
        if not self.ended:
            try:
                await exchange.requests.gone()
            except OSError:  # it left without a word
                await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        exchange = self._exchange
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
