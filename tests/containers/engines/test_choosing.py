"""Which engine is taken, and what is said where there is none."""

from pathlib import Path

import pytest

from agentrt.containers import ContainerOptions, EngineUnavailable
from agentrt.containers.engines import choose_engine
from fixtures.nobody import as_nobody

pytestmark = pytest.mark.anyio


async def test_docker_is_taken_where_it_answers(docker_url: str, tmp_path: Path) -> None:
    engine = await choose_engine(ContainerOptions(docker_url=docker_url), tmp_path)
    assert engine.name == "docker"
    async with engine:
        assert (await engine.probe()).ok


async def test_bubblewrap_is_taken_where_docker_does_not_answer(bubblewrap_folder: Path) -> None:
    options = ContainerOptions(docker_url="unix:///nonexistent/docker.sock")
    engine = await choose_engine(options, bubblewrap_folder)
    assert engine.name == "bubblewrap"
    async with engine:
        assert (await engine.probe()).ok


async def test_the_engine_that_the_settings_name_is_the_one_or_none(bubblewrap_folder: Path) -> None:
    nowhere = "unix:///nonexistent/docker.sock"
    with pytest.raises(EngineUnavailable, match="install Docker"):
        await choose_engine(ContainerOptions(engine="docker", docker_url=nowhere), bubblewrap_folder)
    engine = await choose_engine(ContainerOptions(engine="bubblewrap", docker_url=nowhere), bubblewrap_folder)
    assert engine.name == "bubblewrap"
    with pytest.raises(EngineUnavailable, match="switched off"):
        await choose_engine(ContainerOptions(engine="none"), bubblewrap_folder)


async def test_where_there_is_none_one_message_says_what_each_lacks(bubblewrap_folder: Path) -> None:
    with as_nobody(), pytest.raises(EngineUnavailable) as refused:
        await choose_engine(ContainerOptions(docker_url="unix:///nonexistent/docker.sock"), bubblewrap_folder)
    assert "install Docker" in refused.value.message
    assert "Delegate=yes" in refused.value.message


async def test_without_bubblewrap_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="install the package bubblewrap"):
        await choose_engine(ContainerOptions(engine="bubblewrap"), tmp_path)
