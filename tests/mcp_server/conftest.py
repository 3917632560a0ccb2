"""The official client, in both eras of the protocol, against a server as a person starts it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

ERAS = {"2026-07-28": "auto", "2025-11-25": "legacy"}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return request.param


Speak = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def speak(era: str) -> Speak:
    """`async with speak(server, "ada") as client`: a session of this person in this era."""

    @asynccontextmanager
    async def talk(server: Any, user: str = "", **options: Any) -> AsyncIterator[Client]:
        headers = {"x-user-id": user} if user else {}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport, mode=ERAS[era], **options) as client:
                assert client.protocol_version == era
                yield client

    return talk


def text_of(result: Any) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


@pytest.fixture(scope="session", name="text_of")
def text_of_() -> Callable[[Any], str]:
    return text_of
