"""What is known of an image, and where images of one engine are kept."""

from collections.abc import Callable, Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from .bases import BaseTar
from .recipe import Recipe

Say = Callable[[str], None]


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is there, whole. `current`: it is the one that the settings ask for. `in_use`: a container runs on it.
    `base` names what it was built upon, `size` is in bytes."""

    tag: str
    size: int
    created: datetime
    base: str = ""
    packages: tuple[str, ...] = ()
    in_use: bool = False
    current: bool = False


class Base(msgspec.Struct, frozen=True):
    """What an image is built upon: a tar file, or an image that the engine has under `name`."""

    name: str
    python: str
    machine: str
    tar: Path | None = None

    @classmethod
    def of(cls, found: BaseTar) -> "Base":
        return cls(found.name, found.python, found.machine, found.tar)


class ImageStore(Protocol):
    """The images of one engine."""

    async def pulled(self, name: str, say: Say, *, fresh: bool) -> Base:
        """The image `name` as a base, pulled where it is not there, and again for a `fresh` one. Unsuited, with the reason,
        where it cannot be had."""
        ...

    async def build(self, recipe: Recipe, base: Base, site: Path, say: Say) -> None:
        """Make the image; it is there, whole, when this returns, and one of that tag is replaced. ImageNotBuilt."""
        ...

    async def list(self) -> Sequence[Image]:
        """The images that are there; whether they are in use is not looked at."""
        ...

    async def used(self) -> Set[str]:
        """The tags of the images that containers run on."""
        ...

    async def remove(self, tag: str) -> None:
        """Remove an image that nothing uses. NotFound; Conflict where a container runs on it."""
        ...

    async def sweep(self) -> None:
        """Remove what was replaced while it was in use, and is not any more; nobody builds meanwhile."""
        ...
