"""What a build says when something is missing: one sentence, with what to do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import agentrt
from agentrt.containers import ContainerOptions, EngineUnavailable, ImageNotBuilt, Images


@pytest.fixture
def pip_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pip_settings(monkeypatch, PIP_NO_INDEX="1")


@pytest.fixture
def pip_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    pip_settings(monkeypatch, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1", PIP_NO_CACHE_DIR="1")


def pip_settings(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """These, and none of the machine's."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"PIP_CONFIG_FILE": os.devnull, **settings}.items():
        monkeypatch.setenv(name, value)


def of(folder: Path, *packages: str) -> Images:
    return Images(folder, ContainerOptions(packages=packages), "bubblewrap")


@pytest.mark.anyio
async def test_an_unknown_package_is_named(folder: Path, pip_knows_nothing: None) -> None:
    with pytest.raises(ImageNotBuilt) as failed:
        await of(folder, "a-package-that-nobody-wrote").build(print, "host")
    sentence = r"pip finds no package (pip|a-package-that-nobody-wrote) for Python 3\.\d+ without compiling"
    assert failed.match(f"^{sentence}: correct containers.packages in the settings$")


@pytest.mark.anyio
async def test_an_index_that_does_not_answer_is_not_taken_for_a_missing_package(folder: Path, pip_reaches_nobody: None) -> None:
    with pytest.raises(ImageNotBuilt, match=r"^pip cannot reach its package index: check the network and pip's settings"):
        await of(folder, "idna").build(print, "host")


@pytest.mark.anyio
@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk of its own needs root")
async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=40) as folder:
        with pytest.raises(ImageNotBuilt, match=r"^no space is left on the disk") as failed:
            await of(folder).build(print, "host")
        assert failed.value.code == "disk_full"
        assert list((folder / "cache").glob("*.tar")) == []


@pytest.mark.anyio
async def test_an_engine_that_is_not_there_is_said_before_anything_is_built(folder: Path) -> None:
    for url in (f"unix://{folder}/no.sock", "tcp://127.0.0.1:9"):
        images = Images(folder, ContainerOptions(docker_url=url), "docker")
        with pytest.raises(EngineUnavailable, match="container engine"):
            await images.build(print, "host")
        with pytest.raises(EngineUnavailable, match="container engine"):
            await images.newest()


def test_a_python_without_pip_takes_the_one_of_its_standard_library(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    paths = [str(Path(agentrt.__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))]
    program = f"""
import asyncio, sys
from pathlib import Path
sys.path += {paths!r}
from agentrt.containers.images.site import installer
print(*asyncio.run(installer(Path({str(tmp_path)!r}))))
"""
    done = subprocess.run([bare / "bin" / "python", "-I", "-c", program], capture_output=True, text=True, timeout=50)
    assert done.stdout.split() == [str(tmp_path / "pip" / "bin" / "python"), "-m", "pip"], done.stderr


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
