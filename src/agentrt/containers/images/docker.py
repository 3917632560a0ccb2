"""Images of Docker, and of what speaks its API."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrt.kernel import Conflict, NotFound

from ..engines import IMAGE_NAME, check_address, image_name, making_sense, trouble
from ..errors import EngineUnavailable, ImageNotBuilt
from .bases import Unsuited
from .commands import NO_SPACE
from .image import Base, Image, Say
from .recipe import Recipe
from .site import pack

if TYPE_CHECKING:
    from aiodocker import Docker

_LABEL = "agentrt.image"
_NO_CONNECTION = 900  # the client's word for a connection that was not made, or was lost
_BASES = "agentrt-base"
_YOUNG = timedelta(hours=1)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_FROM_TAR = b"FROM scratch\nADD base.tar /\n"
_ASK_S, _PULL_QUIET_S, _PULL_S, _BUILD_S = 20.0, 20.0, 900.0, 1800.0
_MINOR = "import sys; sys.exit(sys.version_info[1] if sys.version_info[0] == 3 else 0)"


class DockerImages:
    """ImageStore over the Docker API. Every method raises EngineUnavailable where the engine does not answer."""

    def __init__(self, url: str, scratch: Path) -> None:
        self._url, self._scratch = url, scratch

    async def pulled(self, name: str, say: Say, *, fresh: bool) -> Base:
        async with self._docker() as docker:
            about = await _inspected(docker, name)
            if about is None or fresh:
                say(f"base: pulling {name}")
                try:
                    await _pull(docker, name)
                except Unsuited:
                    if about is None:
                        raise
                    say(f"base: {name} as it is here, for it cannot be pulled")
                about = await _bounded(docker.images.inspect(name))
            machine: str = about["Architecture"]
            return Base(name, await _python_of(docker, name), _MACHINES.get(machine, machine))

    async def build(self, recipe: Recipe, base: Base, site: Path, say: Say) -> None:
        async with self._docker() as docker:
            name = base.name if base.tar is None else await self._loaded(docker, base, base.tar, say)
            labels = {_LABEL: recipe.hash, "agentrt.base": base.name, "agentrt.packages": " ".join(recipe.packages)}
            files = {"Dockerfile": recipe.dockerfile, "provision.sh": recipe.provision, "site.tar": site}
            await self._build(docker, recipe.tag, files, say, buildargs={"BASE": name}, labels=labels)
            # the one that had this tag before
            await _bounded(docker.images.prune(filters={"dangling": ["true"], "label": [_LABEL]}))

    async def _loaded(self, docker: "Docker", base: Base, tar: Path, say: Say) -> str:
        name = f"{_BASES}:{base.name}"
        if await _inspected(docker, name) is None:
            say(f"base: giving {base.name} to the engine")
            await self._build(docker, name, {"Dockerfile": _FROM_TAR, "base.tar": tar}, say)
        return name

    async def _build(self, docker: "Docker", tag: str, files: dict[str, bytes | Path], say: Say, **options: Any) -> None:
        """Build from these files alone; EngineUnavailable, ImageNotBuilt."""
        from aiodocker import DockerError

        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="context-", suffix=".part") as folder:
            context = Path(folder) / "context.tar"
            await pack(context, [(name, str(_written(Path(folder) / name, given))) for name, given in files.items()])
            try:
                async with asyncio.timeout(_BUILD_S):
                    with context.open("rb") as sent:
                        lines = docker.images.build(
                            fileobj=sent, encoding="identity", tag=tag, rm=True, forcerm=True, stream=True, **options
                        )
                        async for line in lines:
                            if step := _step(line):
                                say(step)
            except DockerError as exc:
                raise ImageNotBuilt(_why(exc.message)) from exc
            except TimeoutError as exc:
                raise ImageNotBuilt(f"the engine did not build the image within {_BUILD_S:.0f} s") from exc

    async def list(self) -> Sequence[Image]:
        async with self._docker() as docker:
            return await self._found(docker)

    async def _found(self, docker: "Docker") -> Sequence[Image]:
        found = await _bounded(docker.images.list(filters={"reference": [IMAGE_NAME]}))
        return [_image(image_name(tag), about) for about in found for tag in about["RepoTags"] or ()]

    async def used(self) -> Set[str]:
        async with self._docker() as docker:
            images = await _bounded(docker.images.list(filters={"reference": [IMAGE_NAME]}))
            containers = await _bounded(docker.containers.list(all=True))
        running = {container["ImageID"] for container in containers}
        return {image_name(tag) for about in images if about["Id"] in running for tag in about["RepoTags"] or ()}

    async def remove(self, tag: str) -> None:
        from aiodocker import DockerError

        async with self._docker() as docker:
            try:
                await _bounded(docker.images.delete(tag))
            except DockerError as exc:
                if exc.status == 404:
                    raise NotFound(f"there is no image {tag}", code="image_not_found") from exc
                if exc.status == 409:
                    raise Conflict(f"the image {tag} is in use by a sandbox", code="image_in_use") from exc
                raise
            await self._remove_bases(docker)

    async def _remove_bases(self, docker: "Docker") -> None:
        """The bases of ours that no image is built upon; a young one may be about to be."""
        wanted = {f"{_BASES}:{image.base}" for image in await self._found(docker)}
        for about in await _bounded(docker.images.list(filters={"reference": [_BASES]})):
            if datetime.fromtimestamp(about["Created"], UTC) < datetime.now(UTC) - _YOUNG:
                for tag in {tag for tag in about["RepoTags"] or () if image_name(tag) not in wanted}:
                    await _bounded(docker.images.delete(tag))

    async def sweep(self) -> None:
        return None  # an engine gives a tag to what is whole only

    @asynccontextmanager
    async def _docker(self) -> "AsyncIterator[Docker]":
        import aiohttp
        from aiodocker import Docker, DockerError

        check_address(self._url)
        try:
            with making_sense():
                async with Docker(url=self._url) as docker:
                    yield docker
        except (aiohttp.ClientError, ConnectionError) as exc:
            raise trouble(exc) from exc
        except DockerError as exc:
            if exc.status == _NO_CONNECTION:
                raise trouble(exc) from exc
            raise EngineUnavailable(f"the container engine refused: {exc.message}") from exc


async def _bounded(question: Any) -> Any:
    try:
        async with asyncio.timeout(_ASK_S):
            return await question
    except TimeoutError as exc:
        raise EngineUnavailable(f"the container engine did not answer within {_ASK_S:.0f} s") from exc


async def _inspected(docker: "Docker", name: str) -> dict[str, Any] | None:
    from aiodocker import DockerError

    try:
        return await _bounded(docker.images.inspect(name))
    except DockerError as exc:
        if exc.status != 404:
            raise
        return None


async def _pull(docker: "Docker", name: str) -> None:
    """Pull for as long as something comes; Unsuited."""
    from aiodocker import DockerError

    try:
        async with asyncio.timeout(_PULL_S), asyncio.timeout(_PULL_QUIET_S) as quiet:
            async for _ in docker.images.pull(name, stream=True):
                quiet.reschedule(asyncio.get_running_loop().time() + _PULL_QUIET_S)
    except DockerError as exc:
        raise Unsuited(f"{name} cannot be pulled: {exc.message}") from exc
    except TimeoutError as exc:
        raise Unsuited(f"{name} cannot be pulled: the registry does not answer") from exc


async def _python_of(docker: "Docker", name: str) -> str:
    """The version of Python in an image. The exit code tells the minor version: logs are not kept by every engine."""
    from aiodocker import DockerError

    config = {"Image": name, "Entrypoint": ["python3", "-I", "-c", _MINOR], "HostConfig": {"NetworkMode": "none"}}
    try:
        container = await _bounded(docker.containers.create(config))
        try:
            await _bounded(container.start())
            minor = (await _bounded(container.wait()))["StatusCode"]
        finally:
            await _bounded(container.delete(force=True))
    except DockerError as exc:
        raise Unsuited(f"{name} has no python3") from exc
    if not 11 <= minor < 100:
        raise Unsuited(f"{name} has no Python 3.11 or newer")
    return f"3.{minor}"


def _written(path: Path, given: bytes | Path) -> Path:
    if isinstance(given, Path):
        return given
    path.write_bytes(given)
    return path


def _step(line: dict[str, Any]) -> str:
    """What the builder begins to do, as one line; nothing for the rest that it tells."""
    found = re.match(r"Step (\d+/\d+) : (.*)", line.get("stream", "").strip())
    return f"step {found[1]}: {found[2]}" if found else ""


def _why(said: str) -> str:
    if "no space left on device" in said.lower():
        return NO_SPACE
    return f"the engine could not build the image: {said}"


def _image(tag: str, about: dict[str, Any]) -> Image:
    labels = about.get("Labels") or {}
    return Image(
        tag=tag,
        size=about["Size"],
        created=datetime.fromtimestamp(about["Created"], UTC),
        base=labels.get("agentrt.base", ""),
        packages=tuple(labels.get("agentrt.packages", "").split()),
    )
