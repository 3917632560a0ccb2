from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from agentrt.agents import Retry
from agentrt.providers import ModelClient, ProviderEntry, Providers
from upstreams.openai_upstream import OpenAIUpstream


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The server runs on uvloop where there is one: connections fail in other words there."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def upstream(openai_upstream: Callable[[], OpenAIUpstream]) -> OpenAIUpstream:
    return openai_upstream()


Speak = Callable[..., AbstractAsyncContextManager[ModelClient]]


@pytest.fixture
def carrier() -> str:
    """What carries requests; where both shall be tried, a file of tests has its own."""
    return "native"


@pytest.fixture
def acme(upstream: OpenAIUpstream, carrier: str) -> Speak:
    """A client of the upstream under the name `acme`: `async with acme(attempts=1, **entry) as client`."""

    @asynccontextmanager
    async def speak(attempts: int = 1, **entry: Any) -> AsyncIterator[ModelClient]:
        made = ProviderEntry(**{"base_url": upstream.base_url, "api_key": "sk-verysecret", "client": carrier, **entry})
        async with Providers({"acme": made}) as providers:
            yield providers.client("acme", Retry(attempts=attempts, backoff=0))

    return speak
