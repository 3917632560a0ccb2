"""Building images, and looking after those that are there."""

import asyncio
import errno
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from agentrt.kernel import share

from ..errors import ImageNotBuilt
from ..spec import ContainerOptions
from .bases import BaseTar, Unsuited, debootstrap_base, machine_base
from .commands import NO_SPACE
from .docker import DockerImages
from .image import Base, Image, ImageStore, Say
from .recipe import Recipe, read_recipe
from .rootfs import Folders
from .site import packed_site

REGISTRY = "python:3.12-slim"
_LOCK_POLL_S, _LOCK_S = 0.2, 3600.0
_KEPT = 3


class Images:
    """The images of one engine on this machine. `folder` is the images folder; what both engines are made of is kept in it."""

    def __init__(self, folder: Path, options: ContainerOptions, engine: Literal["docker", "bubblewrap"]) -> None:
        self._folder, self._options = folder, options
        self._cache = folder / "cache"
        self._store: ImageStore = (
            DockerImages(options.docker_url, self._cache) if engine == "docker" else Folders(folder, self._cache)
        )

    def wanted_tag(self) -> str:
        """The tag of the image that the settings ask for, there or not. Invalid for a package list that cannot be."""
        return self._recipe().tag

    async def build(self, say: Say, base: str = "auto", *, fresh: bool = False) -> str:
        """Make the image that the settings ask for and return its tag; at once where it is there, upon that base, unless it
        shall be `fresh`: with newly resolved packages. `say` is told what is being done, line by line.
        `base`: auto, registry, debootstrap, host, or the name of an image. ImageNotBuilt, Invalid, EngineUnavailable."""
        recipe = self._recipe()
        try:
            return await self._built(recipe, say, base, fresh)
        except OSError as exc:
            full = exc.errno == errno.ENOSPC
            raise ImageNotBuilt(NO_SPACE if full else f"the image could not be written: {exc.strerror or exc}") from exc

    async def _built(self, recipe: Recipe, say: Say, base: str, fresh: bool) -> str:
        async with self._alone(say):
            there = {image.tag: image.base for image in await self._store.list()}.get(recipe.tag)
            if there is not None and base == "auto" and not fresh:
                return recipe.tag
            if fresh:
                await asyncio.to_thread(_clear, self._cache, keep=0)
            chosen = await self._base(base, say, fresh)
            if there == chosen.name and not fresh:
                return recipe.tag
            site = await packed_site(self._cache, recipe.packages, python=chosen.python, machine=chosen.machine, say=say)
            say(f"building {recipe.tag}")
            await self._store.build(recipe, chosen, site, say)
        return recipe.tag

    async def list(self) -> Sequence[Image]:
        """The images that are there, newest first."""
        wanted, used = self.wanted_tag(), await self._store.used()
        return [
            msgspec.structs.replace(image, current=image.tag == wanted, in_use=image.tag in used)
            for image in _newest_first(await self._store.list())
        ]

    async def newest(self) -> str | None:
        """The image to start containers from: the one that the settings ask for, else the newest; None where there is none."""
        tags = [image.tag for image in _newest_first(await self._store.list())]
        wanted = self.wanted_tag()
        return wanted if wanted in tags else next(iter(tags), None)

    async def remove(self, tag: str) -> None:
        """Remove an image. NotFound; Conflict while a container runs on it."""
        await self._store.remove(tag)

    async def remove_unused(self) -> Sequence[str]:
        """Remove the images that nothing uses and the settings do not ask for; their tags."""
        unused = [image.tag for image in await self.list() if not image.in_use and not image.current]
        for tag in unused:
            await self._store.remove(tag)
        return unused

    def _recipe(self) -> Recipe:
        return read_recipe(share() / "configs" / "images" / "sandbox", self._options.packages)

    async def _base(self, wanted: str, say: Say, fresh: bool) -> Base:
        """The first base of those wanted that can be had here."""

        def pulled(name: str) -> Awaitable[Base]:
            return self._store.pulled(name, say, fresh=fresh)

        ways = {
            "registry": lambda: pulled(REGISTRY),
            "host": lambda: self._tar(machine_base, say),
            "debootstrap": lambda: self._tar(debootstrap_base, say),
        }
        if wanted != "auto":
            ways = {wanted: ways.get(wanted, lambda: pulled(wanted))}
        reasons: list[str] = []
        for way in ways.values():
            try:
                return await way()
            except Unsuited as exc:
                reasons.append(str(exc))
        raise ImageNotBuilt(f"there is nothing to build the image upon: {'; '.join(reasons)}")

    async def _tar(self, make: Callable[[Path, Say], Awaitable[BaseTar]], say: Say) -> Base:
        return Base.of(await make(self._cache, say))

    @asynccontextmanager
    async def _alone(self, say: Say) -> AsyncIterator[None]:
        """One build at a time on this folder; what was cut off before is cleared away."""
        self._cache.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _locked(lock, say)
            await self._store.sweep()
            await asyncio.to_thread(_clear, self._cache)
            yield
        finally:
            os.close(lock)


def _newest_first(images: Sequence[Image]) -> Sequence[Image]:
    return sorted(images, key=lambda image: image.created, reverse=True)


def _clear(cache: Path, keep: int = _KEPT) -> None:
    """Remove what was not finished, and all but the newest of what was."""
    for left in cache.glob("*.part"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    for kind in ("base-*.tar", "site-*.tar"):
        for old in sorted(cache.glob(kind), key=lambda tar: tar.stat().st_mtime)[: -keep or None]:
            old.unlink()


async def _locked(lock: int, say: Say) -> None:
    told = False
    try:
        async with asyncio.timeout(_LOCK_S):
            while not _lock(lock):
                if not told:
                    say("another build is under way: waiting for it")
                told = True
                await asyncio.sleep(_LOCK_POLL_S)
    except TimeoutError as exc:
        raise ImageNotBuilt("another build does not end") from exc


def _lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
