"""One real server for the whole folder, and an upstream provider that tests script."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from fixtures.live_server import LiveServer
from fixtures.postgres import free_port
from upstreams.openai_upstream import OpenAIUpstream

AGENTS = {
    "default": "model: [openai/gpt-4o-mini]\nprompt: You are brief.\ntools: ['*']\n",
    "helper": "description: Works without a key.\naliases: [h]\nmodel: offline/offline\ntools: ['*']\n",
    "fixed": "model: openai/gpt-4o-mini\nlocked: [temperature, model]\nparameters: {temperature: 0.25}\n",
    "loose": "model: offline/offline\nunsupported: drop\n",
    "picky": "model: offline/offline\nunsupported: error\n",
    "remembers": "model: openai/gpt-4o-mini\nsession: {from: [header, metadata, user]}\n",
    "worker": "model: openai/gpt-4o-mini\nbudgets: {steps: 2}\ntools: [clock]\n",
}


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIUpstream]:
    upstream = OpenAIUpstream()
    yield upstream
    upstream.close()


@pytest.fixture
def upstream(provider: OpenAIUpstream) -> OpenAIUpstream:
    """The provider behind the server, with nothing asked of it yet."""
    provider.requests.clear()
    return provider


@pytest.fixture(scope="module")
def server(provider: OpenAIUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    home: Path = tmp_path_factory.mktemp("server")
    agents = home / "agents"
    agents.mkdir()
    for name, text in AGENTS.items():
        (agents / f"{name}.yaml").write_text(f"name: {name}\nretry: {{attempts: 1}}\n{text}")
    env = {
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-test",
        "AGENTRT_CONFIG": str(agents),
        "AGENTRT_MODULES__MCP_REGISTRY": "false",
        "AGENTRT_MAX_BODY_BYTES": "2000000",
    }
    running = LiveServer(home, (), env, free_port())
    try:
        running.wait_healthy()
        yield running
        assert running.terminate() == 0, running.log
    finally:
        if running.process.poll() is None:
            running.kill()


@pytest.fixture
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
        yield client
