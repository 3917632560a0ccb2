"""The wheel works anywhere: it carries its migrations, its default configuration and the echo server."""

import json
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from fixtures.live_server import Serve

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = ["uv", "build", "--quiet", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([sys.executable, "-m", *command, "--out-dir", out, ROOT], check=True)
    return next(out.glob("*.whl"))


def test_it_carries_what_it_needs_and_no_rubbish(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    needed = {"alembic.ini", "migrations/env.py", "configs/agents/default.yaml", "configs/mcp/servers.yaml"}
    needed |= {"configs/images/sandbox/Dockerfile", "configs/images/sandbox/provision.sh"}
    assert needed <= {name.removeprefix("agentrt/_share/") for name in names}
    assert any(name.startswith("agentrt/_share/migrations/versions/0001") for name in names)
    assert any(name.startswith("agentrt/_share/examples/mcp-servers/echo/") for name in names)
    assert [name for name in names if "__pycache__" in name or name.startswith("agentrt/tests")] == []


def test_it_serves_its_own_agents_from_any_folder(wheel: Path, tmp_path: Path, serve: Serve) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    with serve(home=tmp_path / "elsewhere", PYTHONPATH=str(site)) as server:
        assert str(ROOT / "src") not in _module_path(server.home, site)
        server.wait_connected()
        body = {"model": "default", "messages": [{"role": "user", "content": "Use the echo tool to say: Hello"}]}
        request = urllib.request.Request(
            server.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert "Hello" in json.load(answer)["choices"][0]["message"]["content"]


def _module_path(home: Path, site: Path) -> str:
    command = [sys.executable, "-c", "import agentrt; print(agentrt.__file__)"]
    return subprocess.run(command, cwd=home, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True).stdout
