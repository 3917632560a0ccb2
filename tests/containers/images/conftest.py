"""Images are built for real, upon the machine's own packages. Those of a test hold pip only, so that they take two seconds; for
Docker they are a daemon's of the tests' own, because images are the whole machine's."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentrt.containers import ContainerOptions, Images
from agentrt.containers.images.bases import machine_base
from agentrt.containers.images.site import packed_site
from fixtures.dockerd import OwnDockerd, can_start, docker_address, own_dockerd
from fixtures.images import IMAGES, is_here

ENGINES = ("docker", "bubblewrap")
NOBODY = "212345"

Inside = Callable[[str, str], str]
Made = Callable[..., Images]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def dockerd() -> Iterator[OwnDockerd]:
    if not can_start():
        pytest.skip("a Docker daemon of the tests' own needs root and the package docker.io")
    with own_dockerd() as daemon:
        yield daemon


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def options(request: pytest.FixtureRequest, engine_name: str) -> ContainerOptions:
    """What makes small images for this engine."""
    if engine_name == "docker":
        return ContainerOptions(packages=(), docker_url=request.getfixturevalue("dockerd").url)
    if not is_here("bubblewrap"):
        pytest.skip("bubblewrap is not installed (package bubblewrap)")
    return ContainerOptions(packages=())


@pytest.fixture(scope="session")
def ingredients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the small images of this machine are made of, made once."""
    folder = tmp_path_factory.mktemp("ingredients")

    async def make() -> None:
        base = await machine_base(folder, print)
        await packed_site(folder, ("pip",), python=base.python, machine=base.machine, say=print)

    asyncio.run(make())
    return folder


@pytest.fixture
def folder(tmp_path: Path, ingredients: Path) -> Path:
    """An images folder that has no images yet, and all that small ones are made of."""
    shutil.copytree(ingredients, tmp_path / "images" / "cache", copy_function=os.link)
    return tmp_path / "images"


@pytest.fixture
def images(folder: Path, options: ContainerOptions, engine_name: str) -> Images:
    return Images(folder, options, engine_name)


@pytest.fixture
def inside(sandbox_images: Callable[[str], str]) -> Inside:
    """`inside(engine, program)`: what a Python program says that runs on the engine's real image, as somebody without rights."""

    def run(engine: str, program: str) -> str:
        if not is_here(engine):
            pytest.skip(f"{engine} is not here")
        tag = sandbox_images(engine)
        done = subprocess.run([*on(engine, tag), "python", "-I", "-c", program], capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def on(engine: str, tag: str) -> list[str]:
    """How to start a program on an image, without what a sandbox adds to that."""
    if engine == "docker":
        hardly = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--user", NOBODY]
        return ["docker", "--host", docker_address() or "", "run", *hardly, tag]
    root = IMAGES / tag.rpartition(":")[2] / "rootfs"
    apart = ["--unshare-user", "--uid", NOBODY, "--gid", NOBODY, "--unshare-net", "--unshare-pid", "--die-with-parent"]
    apart += ["--clearenv", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"]
    return ["bwrap", "--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *apart, "--chdir", "/"]
