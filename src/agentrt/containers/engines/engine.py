"""What starts boxes: one small Protocol over Docker (and what speaks its API) and bubblewrap with cgroups."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from ..spec import Limits

BoxState = Literal["running", "paused", "exited"]
INSTANCE_LABEL = "agentrt.instance"


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of the host at `target` in the box. `receives`: what the host mounts below `source` later appears inside too."""

    source: Path
    target: str
    read_only: bool = True
    receives: bool = False


class BoxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A box to start. `id` is opaque (`[a-z0-9]{8,32}`); `image` is a reference that this engine knows; process 1 runs
    `command` as user `uid` and group `gid` of the host (None: the same number), in `/`. The hardening is the engine's own and
    cannot be asked away."""

    id: str
    image: str
    command: tuple[str, ...]
    uid: int
    gid: int | None = None
    limits: Limits = Limits()
    env: Mapping[str, str] = {}
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = {}

    @property
    def group(self) -> int:
        return self.uid if self.gid is None else self.gid


class FoundBox(msgspec.Struct, frozen=True):
    """A box that the engine has."""

    id: str
    state: BoxState


class BoxEnded(msgspec.Struct, frozen=True):
    """A box stopped by itself or was stopped. `reason`: `oom` where the memory limit ended its process 1."""

    id: str
    reason: Literal["oom", "exited", "killed"]


class EngineStatus(msgspec.Struct, frozen=True):
    """Whether boxes can be started here; `detail` is a sentence: what it is, or what is missing and what to do about it."""

    ok: bool
    detail: str
    version: str = ""


class Engine(Protocol):
    """Every method ends within bounded time, and raises EngineUnavailable where the engine does not answer."""

    name: Literal["docker", "bubblewrap"]

    async def probe(self) -> EngineStatus:
        """Whether it answers and can enforce limits of memory and processes. Raises nothing."""
        ...

    async def start(self, spec: BoxSpec) -> None:
        """Start a box; it runs when this returns. ImageMissing; Invalid for limits that the machine cannot give."""
        ...

    async def remove(self, box_id: str) -> None:
        """End everything in it and forget it. Fine for one that is gone or going."""
        ...

    async def pause(self, box_id: str) -> None: ...

    async def resume(self, box_id: str) -> None: ...

    async def owns(self, box_id: str, pid: int) -> bool:
        """Whether the host's process `pid` runs inside this box."""
        ...

    async def list(self, labels: Mapping[str, str]) -> Sequence[FoundBox]:
        """The boxes that carry all these labels."""
        ...

    def ended(self) -> AsyncIterator[BoxEnded]:
        """Boxes as they end, for as long as this is read. Reconnects by itself; what happened while it could not is not told,
        so that a reader lists now and then."""
        ...

    async def images(self) -> Sequence[str]:
        """References of the images that this engine can start, newest first."""
        ...
