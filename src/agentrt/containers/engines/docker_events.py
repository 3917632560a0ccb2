"""The events of a container engine."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .docker_config import BOX_LABEL
from .docker_trouble import NONSENSE

if TYPE_CHECKING:
    from aiodocker import Docker

# Podman calls it "died", and finds no label by its name alone
_FILTERS = json.dumps({"type": ["container"], "event": ["die", "died"]})


async def follow(docker: "Docker", take: Callable[[str, str], Awaitable[None]]) -> None:
    """Hand on the id and exit code of each box that ends; returns when the connection does, however it does."""
    import aiohttp
    from aiodocker import DockerError
    from aiodocker.events import DockerEvents

    events = DockerEvents(docker)
    told = events.subscribe(create_task=False)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(events.run(filters=_FILTERS), name="read the engine's events")
            while (event := await told.get()) is not None:
                attributes = event["Actor"]["Attributes"]
                if box_id := attributes.get(BOX_LABEL):
                    # the second is Podman's
                    await take(box_id, attributes.get("exitCode") or attributes.get("containerExitCode", ""))
    except* (DockerError, aiohttp.ClientError, OSError, *NONSENSE):
        pass  # the caller tries again
