"""A box in the hands of one holder, until it is released."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path

from agentrt.kernel import Clock

from ..engines import Engine
from ..errors import SandboxGone
from ..runner import RunnerLink
from ..workspaces import Holder, Workspace
from .box import Box, gone
from .states import BOUND, Stage

_CLAIM_S = 2.0
_REASON_S = 1.5


class Lease:
    """`acquire` gives it. It stays the same while the box lives; a box that ended is replaced by the next `acquire`.

    `lost_state`: variables that this holder's interpreter had are gone, because its last box is. True until the first
    stateful use has ended; read it inside `use()`.
    """

    def __init__(
        self,
        lease_id: str,
        box: Box,
        holder: Holder,
        workspace: Workspace,
        views: Mapping[str, Path],
        *,
        engine: Engine,
        expires_s: float,
        clock: Clock,
        on_rest: Callable[["Lease"], None],
    ) -> None:
        self.id, self.box, self.holder, self.workspace, self.views = lease_id, box, holder, workspace, views
        self.expires_s = expires_s
        self.created_us = self.used_us = clock.now_us()
        self.used_at = time.monotonic()
        self.lost_state = workspace.note.had_state
        self._engine, self._clock, self._on_rest = engine, clock, on_rest
        self._turn, self._waking = asyncio.Lock(), asyncio.Lock()
        self._users = 0
        self._claimed_at: float | None = None

    @property
    def state(self) -> Stage:
        return self.box.state

    @property
    def alive(self) -> bool:
        return self.box.alive and self.box.state in BOUND

    @property
    def link(self) -> RunnerLink:
        """The line to the runner inside, whatever state the box is in; `use()` is how it is used."""
        assert self.box.link is not None
        return self.box.link

    def claim(self) -> None:
        """Somebody was given this lease and is about to use it: it is not taken away for a moment."""
        self._claimed_at = time.monotonic()

    def spare(self, now: float) -> bool:
        """Whether nobody uses it, nor was given it a moment ago."""
        since = self.spare_from()
        return since is not None and since <= now

    def spare_from(self) -> float | None:
        """From when on nobody minds if it goes, unless it is used until then; None while somebody uses it."""
        if self._users or self.box.state not in BOUND:
            return None
        return 0.0 if self._claimed_at is None else self._claimed_at + _CLAIM_S

    @asynccontextmanager
    async def use(self, *, shared: bool = False) -> AsyncIterator[RunnerLink]:
        """The box, awake, for one job at a time; with `shared` beside other jobs, for what leaves no state in it.

        SandboxGone, with the reason, where the box is over, or ends before the block does; EngineUnavailable where it is
        paused and cannot be woken.
        """
        self._users += 1
        self._claimed_at = None
        try:
            async with nullcontext() if shared else self._turn:
                await self._begin()
                if not shared:
                    with suppress(OSError):  # a full disk of ours is no reason not to run
                        self.workspace.note.remember_state()
                try:
                    yield self.link
                except Exception as exc:
                    if self.alive:
                        raise
                    raise await self.obituary() from exc
                self.lost_state = self.lost_state and shared
                if not self.alive:
                    raise await self.obituary()
        finally:
            self._users -= 1
            self._rest()

    async def pause(self) -> None:
        """Freeze the box, unless somebody uses it meanwhile. EngineUnavailable."""
        async with self._waking:
            states = self.box.states
            if self._users or not (states.state == "idle" or states.go("idle")):
                return
            generation = states.generation
            await self._engine.pause(self.box.id)
            states.move("idle", generation, "paused")  # else it is being ended, which a frozen one can be

    async def _begin(self) -> None:
        async with self._waking:  # one task wakes it, and none while it is being paused
            if not self.alive:
                raise await self.obituary()
            states = self.box.states
            if states.state == "paused":
                generation = states.generation
                await self._engine.resume(self.box.id)
                states.move("paused", generation, "idle")
            if states.state != "running" and not states.go("running"):
                raise await self.obituary()

    def _rest(self) -> None:
        self.used_at, self.used_us = time.monotonic(), self._clock.now_us()
        if not self._users and self.state == "running" and self.box.states.go("idle"):
            self._on_rest(self)

    async def obituary(self) -> SandboxGone:
        """Why it is over; waits a moment for the engine to say so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_REASON_S):
                await self.box.over.wait()
        return gone(self.id, self.box.why or "exited")
