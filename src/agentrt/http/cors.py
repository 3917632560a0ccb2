"""What a browser wants to hear before it lets a page of another origin read our answers.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Mapping

from litestar.types import Send

RawHeaders = list[tuple[bytes, bytes]]

_READABLE = b"x-request-id, x-run-id, x-session-id, x-agentrt-ignored, x-agentrt-overhead-ms, idempotency-replayed, retry-after"


def may_read(origin: bytes) -> RawHeaders:
    """For a page of `origin`, which the Edge has let in."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _READABLE),
        (b"vary", b"origin"),
    ]


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks if the page may send the request at all."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


async def preflight_answer(headers: Mapping[bytes, bytes], send: Send) -> None:
    """Yes: whoever may come in may use every method and header."""
    allowed: RawHeaders = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
        (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"content-type")),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": allowed})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
