"""What an image is made of, and the name that follows from it."""

import hashlib
import re
from pathlib import Path

import msgspec

from agentrt.kernel import Invalid

from ..engines import IMAGE_NAME

# `install_package` needs it inside
ALWAYS = ("pip",)
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-\[\],<>=!~;'\" ]*")


class Recipe(msgspec.Struct, frozen=True):
    """The Dockerfile, the steps that both engines share, the packages. The same recipe has the same tag, whatever its base."""

    dockerfile: bytes
    provision: bytes
    packages: tuple[str, ...]

    @property
    def hash(self) -> str:
        parts = (self.dockerfile, self.provision, "\n".join(self.packages).encode())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]

    @property
    def tag(self) -> str:
        return f"{IMAGE_NAME}:{self.hash}"


def read_recipe(folder: Path, packages: tuple[str, ...]) -> Recipe:
    """The recipe in `folder` with these packages; Invalid for what is no package. Order and repetition make no difference."""
    for package in packages:
        if not _REQUIREMENT.fullmatch(package):
            raise Invalid(
                f"containers.packages: {package!r} is no package; write names such as numpy or pandas==2.2",
                code="settings_invalid",
                param="containers.packages",
            )
    wanted = tuple(sorted({package.strip().lower() for package in (*packages, *ALWAYS)}))
    return Recipe((folder / "Dockerfile").read_bytes(), (folder / "provision.sh").read_bytes(), wanted)
