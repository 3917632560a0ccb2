from pathlib import Path
from typing import Protocol


class Outlet(Protocol):
    """The way out of a box: a socket in the folder that it sees at `/run/agentrt`. What it lets through is its own business."""

    async def open(self, box_id: str, folder: Path) -> None:
        """Make the socket, before the box starts."""
        ...

    async def close(self, box_id: str) -> None:
        """End it and what flows through it. Fine for one that is not open."""
        ...


class NoOutlet:
    """Nothing gets out."""

    async def open(self, box_id: str, folder: Path) -> None: ...

    async def close(self, box_id: str) -> None: ...
