"""One server for all examples: what is shipped, with the agents and offline rules of `examples/`, and no key."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fixtures.live_server import LiveServer
from fixtures.postgres import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
ROOT = EXAMPLES.parent


@pytest.fixture(scope="session")
def examples() -> Path:
    return EXAMPLES


@pytest.fixture(scope="session")
def examples_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    home = tmp_path_factory.mktemp("examples")
    (home / "agents").mkdir()
    for file in [*(ROOT / "configs/agents").glob("*.yaml"), *(EXAMPLES / "agents").glob("*.yaml")]:
        (home / "agents" / file.name).write_text(file.read_text())
    env = {"AGENTRT_CONFIG": str(home / "agents"), "AGENTRT_OFFLINE_RULES": str(EXAMPLES / "offline")}
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


@pytest.fixture
def api(examples_server: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=examples_server.url, timeout=50) as client:
        yield client
