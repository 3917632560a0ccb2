from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from agentrt.http import Edge


class Answer:
    """What an ASGI application sent."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, dict[str, str](), b""
        self.scope: dict[str, Any] = {}

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"inside", "more_body": False})


class Client:
    """Sends requests through an Edge to an application that answers `inside`."""

    def __init__(self, **edge: Any) -> None:
        self._edge = Edge(inner, **{"strict": True, "draining": lambda: False, **edge})

    async def __call__(self, method: str = "GET", path: str = "/runs", **headers: str) -> Answer:
        answer = Answer()
        sent = {"host": "127.0.0.1:8080", **{name.replace("_", "-"): value for name, value in headers.items()}}
        raw = [(name.encode(), value.encode()) for name, value in sent.items() if value]
        answer.scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message["body"]

        await self._edge(answer.scope, receive, send)  # type: ignore[arg-type]
        return answer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def edge() -> Callable[..., Client]:
    return Client


Frames = AsyncIterator[bytes]
