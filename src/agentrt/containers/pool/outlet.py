from pathlib import Path
from socket import socket
from typing import Any, Protocol


class Outlet(Protocol):
    """The way out of a box: a socket in the folder that it sees at `/run/agentrt`. The socket is the identity."""

    async def open(self, box_id: str, folder: Path) -> None:
        """Make the socket, before the box starts. Until `bind` it answers nothing."""
        ...

    async def listen(self, box_id: str, listener: socket) -> None:
        """Answer also on this TCP socket, which listens inside the box."""
        ...

    async def bind(self, box_id: str, grant: Any) -> None:
        """From now on it may reach what `grant` says."""
        ...

    async def close(self, box_id: str) -> None:
        """End it and what flows through it. Fine for one that is not open."""
        ...


class NoOutlet:
    """Nothing gets out."""

    async def open(self, box_id: str, folder: Path) -> None: ...

    async def listen(self, box_id: str, listener: socket) -> None:
        listener.close()

    async def bind(self, box_id: str, grant: Any) -> None: ...

    async def close(self, box_id: str) -> None: ...
