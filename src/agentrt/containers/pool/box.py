import asyncio
from typing import Literal

from ..errors import SandboxGone
from ..runner import RunnerLink
from ..workspaces import Holder, Workspace
from .slots import Slot
from .states import ALIVE, BoxStates, Stage

Why = Literal["oom", "killed", "exited", "engine", "released", "evicted", "expired", "rolled", "shutdown", "failed", "full"]

SAID: dict[str, str] = {
    "oom": "its memory limit was reached",
    "killed": "it was killed",
    "exited": "its first process ended",
    "engine": "the container engine stopped",
    "released": "it was released",
    "evicted": "its container was needed by others while it was idle",
    "expired": "nobody used it for a while",
    "rolled": "its image was replaced by a newer one",
    "shutdown": "the server is stopping",
    "failed": "it did not start",
    "full": "its files take more room than they may",
}


class Box:
    """A container of the pool and all that is known of it. It is moved by `states` only; nobody is bound to it twice."""

    def __init__(self, box_id: str, image: str, born: float) -> None:
        self.id, self.image, self.born = box_id, image, born
        self.states = BoxStates()
        self.slot: Slot | None = None
        self.link: RunnerLink | None = None
        self.holder: Holder | None = None
        self.lease_id = ""
        self.why: Why | None = None
        self.starting = False
        """The engine is at it: what it begins must come to its end, or nobody knows what there is to remove."""
        self.patience: asyncio.Timeout | None = None
        """How long its first word is waited for; not at all once it is over."""
        self.over = asyncio.Event()
        """It is over, and `why` says for what reason."""
        self.workspace: Workspace | None = None
        self.cleared = asyncio.Event()
        """Its workspace is free for another box, and all was done to remove it that could be done now."""

    @property
    def state(self) -> Stage:
        return self.states.state

    @property
    def alive(self) -> bool:
        """Whether it may still be used; false as soon as process 1 hung up, before anybody knows why."""
        return self.states.state in ALIVE and not (self.link is not None and self.link.lost.is_set())

    def ends(self, why: Why) -> bool:
        """Say that it is over; whether this call is the one that did."""
        if not self.states.go("failed" if why in DEATHS or why == "failed" else "draining"):
            return False
        self.why = why
        self.over.set()
        if self.patience is not None:
            self.patience.reschedule(0)
        return True


def gone(sandbox_id: str, why: str | None) -> SandboxGone:
    """What is told to whoever asks for a sandbox that is over."""
    said = SAID.get(why or "", "it was released or never was")
    return SandboxGone(f"the sandbox {sandbox_id} is gone: {said}", code="sandbox_died" if why in DEATHS else None)


DEATHS = frozenset({"oom", "killed", "exited", "engine", "full"})
"""Ends that nobody on this side asked for."""
