"""Where the files of an image come from, as a box of bubblewrap can tell."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentrt.containers import ContainerOptions, Images
from agentrt.containers.engines import BubblewrapEngine
from agentrt.containers.engines.roots import Roots
from agentrt.containers.mounts import unmount
from agentrt.kernel import Conflict
from fixtures.boxes import Boxes
from fixtures.images import IMAGES

LOOK = "print(open('/proc/self/mountinfo').read(), flush=True)"


def mounted(below: Path) -> list[str]:
    with open("/proc/self/mountinfo") as lines:
        return [place for line in lines if (place := line.split(" ")[4]).startswith(f"{below}/")]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The root of an image with one file."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    rootfs = tmp_path / "images" / "abc123" / "rootfs"
    rootfs.mkdir(parents=True)
    (rootfs / "file").write_text("first")
    return rootfs


@pytest.fixture
async def bubblewrap(bubblewrap_folder: Path) -> AsyncIterator[BubblewrapEngine]:
    async with BubblewrapEngine(bubblewrap_folder) as engine:
        yield engine


def test_an_image_is_mounted_once_and_shows_what_is_in_it(tmp_path: Path, image: Path) -> None:
    roots = Roots(tmp_path / "roots")
    place = roots.of(image)
    assert roots.of(image) == place != image
    assert (place / "file").read_text() == "first"
    assert mounted(tmp_path) == [str(place)]
    with pytest.raises(OSError, match="Read-only"):
        (place / "file").write_text("mine")
    roots.close()
    assert mounted(tmp_path) == [] and not place.exists()


def test_an_image_that_was_built_anew_takes_the_place_of_the_old_one(tmp_path: Path, image: Path) -> None:
    roots = Roots(tmp_path / "roots")
    roots.of(image)
    image.parent.rename(tmp_path / "old")
    image.mkdir(parents=True)
    (image / "file").write_text("second")
    assert (roots.of(image) / "file").read_text() == "second"
    roots.close()
    assert mounted(tmp_path) == []


def test_what_a_killed_server_left_mounted_is_taken_away(tmp_path: Path, image: Path) -> None:
    left = Roots(tmp_path / "roots").of(image)
    assert mounted(tmp_path) == [str(left)]
    other = image.parent.with_name("def456") / "rootfs"
    shutil.copytree(image, other)
    roots = Roots(tmp_path / "roots")
    assert mounted(tmp_path / "roots") == [str(left)]
    place = roots.of(other)
    assert mounted(tmp_path) == [str(place)]
    roots.close()


def test_a_mount_that_somebody_took_away_is_made_again(tmp_path: Path, image: Path) -> None:
    roots = Roots(tmp_path / "roots")
    unmount(roots.of(image))
    assert (roots.of(image) / "file").read_text() == "first"
    roots.close()


def test_where_nothing_can_be_mounted_the_image_itself_is_shown(tmp_path: Path, image: Path) -> None:
    in_the_way = tmp_path / "roots"
    in_the_way.write_text("no folder")
    roots = Roots(in_the_way)
    assert roots.of(image) == image
    assert roots.of(image) == image


@pytest.mark.anyio
async def test_a_box_cannot_tell_where_its_image_lies(
    bubblewrap: BubblewrapEngine, sandbox_images, bubblewrap_folder: Path
) -> None:
    boxes = Boxes(bubblewrap, sandbox_images("bubblewrap"))
    try:
        seen = await boxes.run(LOOK)
    finally:
        await boxes.close()
    for told in (str(IMAGES), str(IMAGES.resolve()), str(bubblewrap_folder), "/rootfs"):
        assert told not in seen


@pytest.mark.anyio
async def test_an_image_is_in_use_while_a_box_runs_on_it_and_not_because_it_is_mounted(
    bubblewrap: BubblewrapEngine, sandbox_images
) -> None:
    reference = sandbox_images("bubblewrap")
    images = Images(IMAGES, ContainerOptions(), "bubblewrap")

    async def used() -> bool:
        return next(image.in_use for image in await images.list() if image.tag == reference)

    boxes = Boxes(bubblewrap, reference)
    try:
        await boxes.start("input()", command=())
        assert await used()
        with pytest.raises(Conflict, match="in use"):
            await images.remove(reference)
    finally:
        await boxes.close()
    # other tests of this machine may run boxes on it: this engine's mount is there and is none of them
    assert mounted(bubblewrap._roots.folder) != []
