from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from agentrt.agents import Retry
from agentrt.providers import ModelClient, ProviderEntry, Providers
from fixtures.wires import WIRES


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The server runs on uvloop where there is one: connections fail in other words there."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def wire() -> str:
    """The wire that is spoken; a file of tests of another one has its own."""
    return "openai"


@pytest.fixture
def carrier() -> str:
    """What carries requests; where both shall be tried, a file of tests has its own."""
    return "native"


@pytest.fixture
def upstream(start_upstream: Any, wire: str) -> Any:
    return start_upstream(WIRES[wire].upstream)


Speak = Callable[..., AbstractAsyncContextManager[ModelClient]]


@pytest.fixture
def acme(upstream: Any, wire: str, carrier: str) -> Speak:
    """A client of the upstream under the name `acme`: `async with acme(attempts=1, **entry) as client`."""

    @asynccontextmanager
    async def speak(attempts: int = 1, **entry: Any) -> AsyncIterator[ModelClient]:
        given = {"wire": wire, "client": carrier, "base_url": upstream.base_url, "api_key": "sk-verysecret", **entry}
        async with Providers({"acme": ProviderEntry(**given)}) as providers:
            yield providers.client("acme", Retry(attempts=attempts, backoff=0))
            if given["base_url"].startswith("https:"):  # a handshake that an SDK is torn from leaves its socket to the collector
                await providers.listed(30)

    return speak


@pytest.fixture
async def ours(acme: Speak) -> AsyncIterator[ModelClient]:
    """The client that an official SDK is held against."""
    async with acme() as client:
        yield client
