"""Building, listing and removing images, on both engines."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from agentrt.containers import ContainerOptions, ImageNotBuilt, Images
from agentrt.kernel import Conflict, NotFound

Lines = list[str]
Process = "subprocess.Popen[str]"


async def build(images: Images, base: str = "host", *, fresh: bool = False) -> Lines:
    """What was said; nothing where the image was there already."""
    lines: Lines = []
    assert await images.build(lines.append, base, fresh=fresh) == images.wanted_tag()
    return lines


@pytest.mark.anyio
async def test_an_image_from_its_building_to_its_end(
    images: Images, options: ContainerOptions, engine_name: str, folder: Path
) -> None:
    assert (await images.newest(), await images.list()) == (None, [])
    assert f"building {images.wanted_tag()}" in await build(images)
    assert (await build(images), await build(images, "auto")) == ([], [])
    [image] = await images.list()
    assert (image.tag, image.current, image.in_use, image.packages) == (images.wanted_tag(), True, False, ("pip",))
    assert image.base.startswith("host-")
    assert 50_000_000 < image.size < 200_000_000
    assert await images.newest() == image.tag

    # the settings ask for another one now
    others = Images(folder, msgspec.structs.replace(options, packages=("idna",)), engine_name)
    assert await others.newest() == image.tag
    assert [image.current for image in await others.list()] == [False]
    with running(image.tag, options, engine_name, folder) as process:
        assert [image.in_use for image in await others.list()] == [True]
        with pytest.raises(Conflict, match="in use"):
            await images.remove(image.tag)
        assert await others.remove_unused() == []
        assert ask(process, "sum(range(5))") == "10"
    assert await images.remove_unused() == []
    assert await others.remove_unused() == [image.tag]
    assert await images.list() == []
    with pytest.raises(NotFound):
        await images.remove(image.tag)


@pytest.mark.anyio
@pytest.mark.parametrize("engine_name", ["bubblewrap"])
async def test_a_fresh_image_takes_the_place_of_one_in_use_and_does_not_take_it_away(
    images: Images, options: ContainerOptions, engine_name: str, folder: Path
) -> None:
    await build(images)
    with running(images.wanted_tag(), options, engine_name, folder) as process:
        assert any(line.startswith("packages for Python 3.") for line in await build(images, fresh=True))
        assert ask(process, "__import__('email.message').__name__") == "email"
    assert len(list((folder / "cache").glob("gone-*"))) == 1
    assert await build(images) == []
    assert list((folder / "cache").glob("gone-*")) == []


@pytest.mark.anyio
async def test_an_image_upon_another_base_is_built_anew(images: Images, engine_name: str, options: ContainerOptions) -> None:
    await build(images)
    before = (await images.list())[0].base
    if engine_name == "bubblewrap":
        with pytest.raises(ImageNotBuilt, match=r"python:3\.12-slim comes from a registry, for which Docker is needed"):
            await build(images, "registry")
        return
    assert await build(images, f"agentrt-base:{before}")
    assert [image.base for image in await images.list()] == [f"agentrt-base:{before}"]
    await images.remove(images.wanted_tag())


@pytest.mark.anyio
@pytest.mark.parametrize("engine_name", ["docker"])
async def test_a_base_without_python_is_refused(images: Images, without_python: str) -> None:
    with pytest.raises(ImageNotBuilt, match=f"{without_python} has no python3"):
        await build(images, without_python)
    with pytest.raises(ImageNotBuilt, match="there is nothing to build the image upon: localhost:9/absent:1 cannot be pulled"):
        await build(images, "localhost:9/absent:1")


@pytest.fixture
def without_python(options: ContainerOptions, tmp_path: Path) -> str:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    command = ["docker", "--host", options.docker_url, "build", "--tag", "nothing:1", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    return "nothing:1"


@pytest.mark.anyio
async def test_a_build_that_is_killed_leaves_nothing_that_is_taken_for_an_image(
    images: Images, options: ContainerOptions, engine_name: str, folder: Path
) -> None:
    for step in ("building", "unpacking" if engine_name == "bubblewrap" else "step 5"):
        kill_at(step, options, engine_name, folder)
        assert (await images.list(), await images.newest()) == ([], None)
    assert await build(images)
    assert [image.tag for image in await images.list()] == [images.wanted_tag()]
    assert {path.suffix for path in (folder / "cache").iterdir()} == {".tar"}
    await images.remove(images.wanted_tag())


def kill_at(step: str, options: ContainerOptions, engine_name: str, folder: Path) -> None:
    """Kill -9 a process that builds as soon as it says that it begins with `step`."""
    program = f"""
import asyncio
from pathlib import Path
from agentrt.containers import ContainerOptions, Images
options = ContainerOptions(packages=(), docker_url={options.docker_url!r})
asyncio.run(Images(Path({str(folder)!r}), options, {engine_name!r}).build(lambda line: print(line, flush=True), "host"))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        if any(line.startswith(step) for line in child.stdout):
            child.kill()
    assert child.returncode == -9


@contextmanager
def running(tag: str, options: ContainerOptions, engine_name: str, folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """A Python on the image, for `ask`."""
    loop = "import sys; print('up', flush=True)\nfor line in sys.stdin: print(eval(line), flush=True)"
    if engine_name == "docker":
        command = ["docker", "--host", options.docker_url, "run", "--interactive", "--rm", "--network", "none", tag]
    else:
        root = folder / tag.rpartition(":")[2] / "rootfs"
        command = ["bwrap", "--ro-bind", str(root), "/", "--dev", "/dev", "--unshare-pid", "--die-with-parent"]
    command += ["python3", "-I", "-c", loop]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        yield process
        process.stdin.close()
        process.wait(30)


def ask(process: "subprocess.Popen[str]", expression: str) -> str:
    print(expression, file=process.stdin, flush=True)
    return process.stdout.readline().rstrip("\n")
