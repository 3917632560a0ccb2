"""The name of an image follows from what is in it."""

import shutil
from pathlib import Path

import pytest

from agentrt.containers import ContainerOptions, Images
from agentrt.containers.images.recipe import read_recipe
from agentrt.kernel import Invalid, share

FOLDER = share() / "configs" / "images" / "sandbox"


def tag(*packages: str, folder: Path = FOLDER) -> str:
    return read_recipe(folder, packages).tag


def test_another_list_of_packages_is_another_image() -> None:
    assert tag("numpy") != tag("numpy", "pandas") != tag("pandas")
    assert tag("numpy") != tag("numpy==2.4.0")


def test_the_same_packages_are_the_same_image_in_whatever_order_they_are_written() -> None:
    assert tag("numpy", "pandas") == tag("Pandas", "numpy", "numpy")


@pytest.mark.parametrize("name", ["Dockerfile", "provision.sh"])
def test_another_way_of_building_is_another_image(tmp_path: Path, name: str) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    assert tag("numpy", folder=tmp_path) == tag("numpy")
    with (tmp_path / name).open("a") as file:
        file.write("# more\n")
    assert tag("numpy", folder=tmp_path) != tag("numpy")


@pytest.mark.parametrize(
    "package", ["--target=/etc", "", "numpy\nRUN evil", "$(id)", "../wheel.whl", "git+https://example.com/x"]
)
def test_what_is_no_package_is_refused_by_name(package: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        Images(tmp_path, ContainerOptions(packages=("numpy", package)), "bubblewrap").wanted_tag()
    assert repr(package) in refused.value.message
    assert refused.value.param == "containers.packages"


def test_both_engines_want_the_same_image(tmp_path: Path) -> None:
    options = ContainerOptions()
    assert Images(tmp_path, options, "docker").wanted_tag() == Images(tmp_path, options, "bubblewrap").wanted_tag()


def test_the_dockerfile_is_for_every_builder() -> None:
    instructions = (FOLDER / "Dockerfile").read_text()
    assert "--mount" not in instructions
    assert "<<" not in instructions
    assert instructions.index("ARG BASE") < instructions.index("FROM ${BASE}")
