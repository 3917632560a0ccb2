"""The image behind a running server."""

import asyncio
import os
from pathlib import Path

import pytest

from agentrt.containers import ContainerOptions, ImageKeeper, ImageMissing, Images

pytestmark = pytest.mark.anyio


@pytest.fixture
def engine_name() -> str:
    return "bubblewrap"


async def until(state: str, keeper: ImageKeeper) -> None:
    async with asyncio.timeout(40):
        while True:
            if keeper.state == state:
                return
            await asyncio.sleep(0)


async def test_a_missing_image_is_built_behind_and_its_state_is_told(images: Images) -> None:
    async with ImageKeeper(images, build=True) as keeper:
        assert keeper.state == "starting"
        await until("building", keeper)
        with pytest.raises(ImageMissing, match=r"the image is being built \(.+\): try again soon") as missing:
            await keeper.reference()
        assert missing.value.retry_after_s == 15
        assert keeper.detail.startswith("building: ")
        await until("ready", keeper)
        assert (await keeper.reference(), keeper.detail) == (images.wanted_tag(), "ready")


async def test_who_asks_before_the_first_look_is_over_is_told_that_it_is_being_built(images: Images) -> None:
    async with ImageKeeper(images, build=True) as keeper:
        with pytest.raises(ImageMissing, match="the image is being built"):
            await keeper.reference()
        assert keeper.state == "building"


async def test_without_leave_to_build_the_command_is_said_until_somebody_has_typed_it(images: Images) -> None:
    async with ImageKeeper(images, build=False) as keeper:
        await until("missing", keeper)
        assert keeper.detail == "no image: agentrt image build makes one"
        with pytest.raises(ImageMissing, match="there is no image to run code on: type  agentrt image build"):
            await keeper.reference()
        await images.build(print, "host")
        assert await keeper.reference() == images.wanted_tag()
        assert keeper.state == "ready"

        await images.remove(images.wanted_tag())
        keeper.forget()
        with pytest.raises(ImageMissing):
            await keeper.reference()


async def test_a_build_that_fails_is_told_with_its_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    images = Images(folder, ContainerOptions(packages=("idna",)), "bubblewrap")
    async with ImageKeeper(images, build=True) as keeper:
        await until("failed", keeper)
        assert keeper.detail.startswith("failed: pip finds no package ")
        with pytest.raises(ImageMissing, match=r"not be built: pip finds no package .*; then type  agentrt image build"):
            await keeper.reference()


async def test_an_older_image_is_used_until_the_new_one_is_done(images: Images, folder: Path) -> None:
    await images.build(print, "host")
    newer = Images(folder, ContainerOptions(packages=("idna",)), "bubblewrap")
    async with ImageKeeper(newer, build=True) as keeper:
        await until("building", keeper)
        assert await keeper.reference() == images.wanted_tag()


async def test_closing_ends_a_build_at_once_and_leaves_no_half(images: Images, folder: Path) -> None:
    async with ImageKeeper(images, build=True) as keeper:
        await until("building", keeper)
    assert await images.list() == []
    assert halves(folder) == []


def halves(folder: Path) -> list[Path]:
    return list(folder.glob("*/rootfs"))


async def test_no_engine_is_a_failure_that_goes_away_by_itself(folder: Path) -> None:
    images = Images(folder, ContainerOptions(docker_url=f"unix://{folder}/none.sock"), "docker")
    async with ImageKeeper(images, build=True) as keeper:
        await until("failed", keeper)
        assert "container engine" in keeper.detail
