"""Images for bubblewrap: `<images folder>/<hash>/rootfs` beside `image.json`, there or not there, never half."""

import asyncio
import os
import re
import shutil
from collections.abc import Sequence, Set
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec

from agentrt.kernel import Conflict, NotFound

from ..engines import IMAGE_NAME
from ..errors import EngineUnavailable, ImageNotBuilt
from .bases import Unsuited
from .commands import CommandFailed, run
from .image import Base, Image, Say
from .recipe import Recipe

_PROVISION_S = 900.0
_ENGINES = re.compile(r"/roots/[0-9a-f]+$")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Folders:
    """ImageStore over plain folders. In `scratch`, on the same disk, are those that are not yet or no longer images."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder, self._scratch = folder, scratch

    async def pulled(self, name: str, say: Say, *, fresh: bool) -> Base:
        raise Unsuited(f"the base {name} comes from a registry, for which Docker is needed")

    async def build(self, recipe: Recipe, base: Base, site: Path, say: Say) -> None:
        assert base.tar is not None, "what is pulled is refused before"
        if not shutil.which("bwrap"):
            raise EngineUnavailable("bubblewrap is not installed: type  apt-get install -y bubblewrap  (as root)")
        unfinished = self._scratch / f"image-{uuid4().hex}.part"
        try:
            say("unpacking the base and the packages")
            root = unfinished / "rootfs"
            await _unpack(base.tar, root)
            await _unpack(site, root / "opt/sandbox/site")
            (root / "opt/sandbox/provision.sh").write_bytes(recipe.provision)
            say("preparing")
            await _provision(root)
            made = Image(
                tag=recipe.tag,
                size=await asyncio.to_thread(_size, root),
                created=datetime.now(UTC),
                base=base.name,
                packages=recipe.packages,
            )
            (unfinished / "image.json").write_bytes(msgspec.json.encode(made))
            self._put_in_place(unfinished, self._folder / recipe.hash)
        except CommandFailed as exc:
            raise ImageNotBuilt(f"the image could not be prepared: {exc}") from exc
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, unfinished, True))
        await self.sweep()

    def _put_in_place(self, finished: Path, place: Path) -> None:
        if place.exists():
            place.rename(self._gone())
        finished.rename(place)

    def _gone(self) -> Path:
        return self._scratch / f"gone-{uuid4().hex}"

    async def list(self) -> Sequence[Image]:
        return [image for _, image in await asyncio.to_thread(self._images)]

    def _images(self) -> Sequence[tuple[Path, Image]]:
        found = sorted(self._folder.glob("*/image.json"))
        return [(about.parent, msgspec.json.decode(about.read_bytes(), type=Image)) for about in found]

    async def used(self) -> Set[str]:
        return await asyncio.to_thread(self._used)

    def _used(self) -> Set[str]:
        mounted = _mounted()
        return {image.tag for place, image in self._images() if _is_used(place, mounted)}

    async def remove(self, tag: str) -> None:
        await asyncio.to_thread(self._remove, tag)

    def _remove(self, tag: str) -> None:
        place = self._folder / tag.removeprefix(f"{IMAGE_NAME}:")
        if tag not in {image.tag for _, image in self._images()}:
            raise NotFound(f"there is no image {tag}", code="image_not_found")
        if _is_used(place, _mounted()):
            raise Conflict(f"the image {tag} is in use by a running sandbox", code="image_in_use")
        self._scratch.mkdir(exist_ok=True)
        place.rename(gone := self._gone())
        shutil.rmtree(gone)

    async def sweep(self) -> None:
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        mounted = _mounted()
        for left in self._scratch.glob("gone-*"):
            if not _is_used(left, mounted):
                shutil.rmtree(left, ignore_errors=True)


async def _unpack(tar: Path, into: Path) -> None:
    await asyncio.to_thread(into.mkdir, mode=0o755, parents=True, exist_ok=True)
    await run(["tar", "--extract", "--file", tar, "--directory", into, "--preserve-permissions"], timeout_s=600)


async def _provision(root: Path) -> None:
    command = ["bwrap", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-net", "--unshare-pid"]
    command += ["--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session", "--chdir", "/"]
    command += [] if os.geteuid() == 0 else ["--unshare-user", "--uid", "0", "--gid", "0"]
    command += ["--clearenv", "--setenv", "PATH", _PATH, "--setenv", "HOME", "/root"]
    await run([*command, "sh", "/opt/sandbox/provision.sh"], timeout_s=_PROVISION_S)


def _size(root: Path) -> int:
    """Bytes on disk; a file with two names counts once."""
    blocks = {}
    for folder, _, files in os.walk(root):
        for name in files:
            about = os.lstat(os.path.join(folder, name))
            blocks[about.st_ino] = about.st_blocks
    return sum(blocks.values()) * 512


class _Mount(msgspec.Struct, frozen=True):
    """What is mounted in some process's view: the device, the path there, where it is, and what it was mounted with."""

    device: str
    root: str
    place: str
    options: str


def _mounted() -> Set[_Mount]:
    found: set[_Mount] = set()
    seen: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is somebody else's
            namespace = os.stat(process / "ns/mnt").st_ino
            if namespace not in seen:
                seen.add(namespace)
                for line in (process / "mountinfo").read_text().splitlines():
                    words = line.split(" ")
                    found.add(_Mount(words[2], words[3], words[4], words[-1]))
    return found


def _is_used(place: Path, mounted: Set[_Mount]) -> bool:
    """Whether a box sees what lies within `place`. On its device the path may begin otherwise, but ends as here."""
    device = os.stat(place).st_dev
    here, inside = f"{os.major(device)}:{os.minor(device)}", f"/{place.parent.name}/{place.name}/rootfs/"
    if any(mount.device == here and inside in f"{mount.root}/" for mount in mounted):
        return True
    # an overlay tells the layers it was mounted with; the engine's own, from which boxes take theirs, is no use
    layers = {f"lowerdir=rootfs:{mark.name}" for mark in place.glob("view-*")}
    return any(layers & {*mount.options.split(",")} for mount in mounted if not _ENGINES.search(mount.place))
