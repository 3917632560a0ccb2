"""Servers that many journeys share: `shipped` is what a new user has, `scripted` has a provider that tests script."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from fixtures.live_server import LiveServer
from fixtures.postgres import free_port
from upstreams.openai_upstream import OpenAIUpstream

AGENTS = {
    "default": "model: openai/gpt-4o-mini\nprompt: You are brief.\ntools: ['*']\n",
    "remembers": "model: openai/gpt-4o-mini\nsession: {from: [header, metadata, user]}\n",
    "careful": "model: openai/gpt-4o-mini\nretry: {attempts: 3, backoff: 0.01}\n",
    "worker": "model: openai/gpt-4o-mini\nmode: autonomous\nbudgets: {steps: 4}\n",
    "reckless": "model: openai/gpt-4o-mini\ntools: [{match: 'echo__*', effect: unsafe}]\n",
    "offline": "model: offline/offline\ntools: ['*']\n",
}


def write_agents(folder: Path, agents: dict[str, str] = AGENTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in agents.items():
        retry = "" if "retry" in text else "retry: {attempts: 1}\n"
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{retry}{text}")
    return folder


Configured = Callable[[OpenAIUpstream, Path], dict[str, str]]


def scripted_env(provider: OpenAIUpstream, home: Path) -> dict[str, str]:
    """The environment of a server whose provider is `provider`, with the agents above in `home/agents`."""
    return {
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-journeys",
        "AGENTRT_CONFIG": str(write_agents(home / "agents")),
    }


@pytest.fixture(scope="session")
def configured() -> Configured:
    return scripted_env


@pytest.fixture(scope="session")
def provider() -> Iterator[OpenAIUpstream]:
    upstream = OpenAIUpstream()
    yield upstream
    upstream.close()


@pytest.fixture
def upstream(provider: OpenAIUpstream) -> Iterator[OpenAIUpstream]:
    """The provider behind `scripted`, with nothing asked of it yet and nothing scripted."""
    provider.reset()
    yield provider
    provider.reset()


def running(home: Path, env: dict[str, str]) -> Iterator[LiveServer]:
    server = LiveServer(home, (), env, free_port())
    try:
        server.wait_healthy()
        server.wait_connected()
        yield server
        assert server.terminate() == 0, server.log
        assert "Traceback" not in server.log
    finally:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    yield from running(tmp_path_factory.mktemp("shipped"), {})


@pytest.fixture(scope="session")
def scripted(provider: OpenAIUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    home = tmp_path_factory.mktemp("scripted")
    yield from running(home, scripted_env(provider, home))


@pytest.fixture
def connect() -> Iterator[Callable[[LiveServer], httpx2.Client]]:
    """HTTP clients of servers."""
    clients: list[httpx2.Client] = []

    def client_of(server: LiveServer) -> httpx2.Client:
        clients.append(httpx2.Client(base_url=server.url, timeout=50))
        return clients[-1]

    yield client_of
    for client in clients:
        client.close()


@pytest.fixture
def api(scripted: LiveServer, connect: Callable[[LiveServer], httpx2.Client]) -> httpx2.Client:
    return connect(scripted)


@pytest.fixture
def client(scripted: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=scripted.url + "/v1", api_key="-", max_retries=0) as client:
        yield client


def processes_with(word: str) -> list[int]:
    """The processes whose command line or environment holds `word`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except OSError:
                continue
            if word.encode() in said:
                found.append(int(folder.name))
    return found


@pytest.fixture(scope="session", name="write_agents")
def write_agents_() -> Callable[[Path], Path]:
    return write_agents


@pytest.fixture(scope="session")
def left_behind() -> Callable[[str], list[int]]:
    return processes_with
