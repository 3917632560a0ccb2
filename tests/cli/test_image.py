"""`agentrt image`: what is typed, and what is answered."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]
FOLDER = {"AGENTRT_CONTAINERS__ENGINE": "bubblewrap"}


def test_no_image_is_no_error_and_the_command_is_said(agentrt: Command) -> None:
    done = agentrt("image", "list", **FOLDER)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no images: agentrt image build makes one\n"
    assert json.loads(agentrt("image", "list", "--json", **FOLDER).stdout) == []


def test_an_image_is_listed_and_removed_by_its_tag(agentrt: Command, tmp_path: Path) -> None:
    place = tmp_path / "data" / "containers" / "images" / "0123456789ab"
    (place / "rootfs" / "usr").mkdir(parents=True)
    about = {"tag": "agentrt-sandbox:0123456789ab", "size": 123_456_789, "created": "2026-01-02T03:04:05Z", "base": "host-1"}
    (place / "image.json").write_text(json.dumps(about))
    there = {**FOLDER, "AGENTRT_DATA_DIR": str(tmp_path / "data")}

    assert agentrt("image", "list", **there).stdout.startswith("agentrt-sandbox:0123456789ab\t123 MB\t2026-01-0")
    [listed] = json.loads(agentrt("image", "list", "--json", **there).stdout)
    assert (listed["tag"], listed["current"], listed["in_use"]) == (about["tag"], False, False)
    assert agentrt("image", "remove", "--unused", **there).stdout == "removed agentrt-sandbox:0123456789ab\n"
    assert not place.exists()
    gone = agentrt("image", "remove", about["tag"], **there)
    assert (gone.returncode, gone.stderr) == (1, "Error: there is no image agentrt-sandbox:0123456789ab\n")


@pytest.mark.parametrize(
    ("words", "settings", "code", "said"),
    [
        (["remove"], {}, 2, "name images, or give --unused"),
        (["remove", "--unused", "x"], {}, 2, "name images, or give --unused"),
        (["list"], {"AGENTRT_CONTAINERS__ENGINE": "none"}, 1, "containers.engine is none in the settings"),
        (
            ["list"],
            {"AGENTRT_CONTAINERS__ENGINE": "podman"},
            2,
            "containers.engine in the settings: 'podman' is not one of 'auto'",
        ),
        (
            ["build", "--engine", "docker"],
            {"AGENTRT_CONTAINERS__DOCKER_URL": "unix:///no/such"},
            1,
            "No container engine is at its address",
        ),
        (
            ["build", "--base", "alpine:3", "--engine", "bubblewrap"],
            {},
            1,
            "comes from a registry, for which Docker is needed",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    agentrt: Command, words: list[str], settings: dict[str, str], code: int, said: str
) -> None:
    done = agentrt("image", *words, **settings)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed (package bubblewrap)")
def test_a_package_that_is_none_is_refused_before_anything_is_built(agentrt: Command, tmp_path: Path) -> None:
    (tmp_path / "agentrt.yaml").write_text("containers: {packages: ['numpy', '--pre']}\n")
    done = agentrt("image", "build", "--engine", "bubblewrap")
    assert (done.returncode, done.stderr) == (
        1,
        "Error: containers.packages: '--pre' is no package; write names such as numpy or pandas==2.2\n",
    )
