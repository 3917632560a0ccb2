"""The image that containers are started from, built behind the running server where that is wished for."""

import asyncio
from typing import Literal, Self

import structlog

from agentrt.kernel import AgentrtError

from ..errors import ImageMissing
from .service import Images

COMMAND = "agentrt image build"
BUILDING_AGAIN_S = 15.0
log = structlog.get_logger()

State = Literal["starting", "building", "ready", "missing", "failed"]


class ImageKeeper:
    """Knows which image containers are started from. Opening returns at once; what it takes is done behind: a look at what is
    there, and with `build` the building of what the settings ask for."""

    def __init__(self, images: Images, *, build: bool) -> None:
        self._images, self._build = images, build
        self._group = asyncio.TaskGroup()
        self._line, self._tag = "", ""
        self.state: State = "starting"
        self._looked = asyncio.Event()

    @property
    def detail(self) -> str:
        """The state as a sentence for `/health`."""
        match self.state:
            case "building":
                return f"building: {self._line}"
            case "failed":
                return f"failed: {self._line}"
            case "missing":
                return f"no image: {COMMAND} makes one"
            case _:
                return self.state

    async def reference(self) -> str:
        """The image to start a container from. ImageMissing says the command that makes it, or that it is being made."""
        await self._looked.wait()
        if not self._tag and self.state != "building":
            await self._look()  # somebody may have built it by now
        if self._tag:
            return self._tag
        match self.state:
            case "building":
                raise ImageMissing(f"the image is being built ({self._line}): try again soon", retry_after_s=BUILDING_AGAIN_S)
            case "failed":
                raise ImageMissing(f"the image could not be built: {self._line}; then type  {COMMAND}")
            case _:
                raise ImageMissing(f"there is no image to run code on: type  {COMMAND}")

    def forget(self) -> None:
        """The engine says that the image is gone: the next who asks makes it be looked for again."""
        self._tag = ""

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._task = self._group.create_task(self._provide(), name="provide the image")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()
        await self._group.__aexit__(None, None, None)

    async def _provide(self) -> None:
        """Look, and build. An image that is there is used until the one that the settings ask for is done."""
        try:
            await self._look()
            if self._build and self._tag != self._images.wanted_tag():
                await self._make()
        except AgentrtError as exc:
            self._line = exc.message
            self.state = "ready" if self._tag else "failed"
            log.warning("image.failed", reason=exc.message)

    async def _look(self) -> None:
        try:
            self._found(await self._images.newest() or "")
        finally:
            self._looked.set()

    async def _make(self) -> None:
        def say(line: str) -> None:
            self._line = line
            log.info("image.building", step=line)

        self.state = "building"
        say("starting")
        self._found(await self._images.build(say))
        log.info("image.built", image=self._tag)

    def _found(self, tag: str) -> None:
        self._tag = tag
        if tag:
            self.state = "ready"
        elif self.state != "failed":
            self.state = "missing"
