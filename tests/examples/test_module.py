"""A module of somebody else's package, found by its entry point."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest


@pytest.fixture
def installed(examples: Path, tmp_path: Path) -> Path:
    """A folder with the package `agentrt-dice`, as `pip install` lays it down."""
    folder, source = tmp_path / "packages", tmp_path / "source"
    source.mkdir()
    for file in (examples / "modules/dice").iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*uv, "--python", sys.executable, "--target", folder, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_brings_a_tool_a_route_and_its_health(serve, installed):
    with serve(PYTHONPATH=str(installed)) as server, httpx2.Client(base_url=server.url, timeout=50) as api:
        run = api.post("/runs?wait=30", json={"input": 'use throw_dice with {"count": 3}'}).json()
        assert run["output"]["text"].startswith("The throw_dice tool answered: ")
        (thrown,) = api.get("/dice").json()
        assert len(thrown) == 3 and set(thrown) <= {1, 2, 3, 4, 5, 6}
        assert api.get("/health").json()["modules"]["dice"] == {"status": "ok", "detail": {"thrown": 1}}
        assert "/dice" in api.get("/schema/openapi.json").json()["paths"]


def test_it_is_switched_off_by_its_name(serve, installed):
    off = {"PYTHONPATH": str(installed), "AGENTRT_MODULES__DICE": "false"}
    with serve(**off) as server, httpx2.Client(base_url=server.url, timeout=50) as api:
        assert api.get("/dice").status_code == 404
        assert "dice" not in api.get("/health").json()["modules"]
