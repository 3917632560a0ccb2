"""The events of a container engine."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .docker_config import BOX_LABEL

if TYPE_CHECKING:
    from aiodocker import Docker

_FILTERS = json.dumps({"type": ["container"], "event": ["die", "died"], "label": [BOX_LABEL]})


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
                await take(attributes[BOX_LABEL], attributes.get("exitCode", ""))
    except* (DockerError, aiohttp.ClientError, OSError):
        pass  # the caller tries again
