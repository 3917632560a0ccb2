"""All boxes of a pool, and the one way each of them ends."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from agentrt.bus import SandboxDied
from agentrt.kernel import AgentrtError

from ..workspaces import Holder
from .box import DEATHS, Box, Why, gone
from .lease import Lease
from .starting import new_box_id
from .supplies import Supplies

log = structlog.get_logger()

Work = Callable[[], Coroutine[Any, Any, None]]
_REMEMBERED = 1000
_ENGINES_WORD_S = 0.5
_START_ENDS_S = 10.0
_SHUTDOWN_S = 5.0


class Stock:
    """`boxes` are all that are not gone yet, `warm` those that belong to nobody, `leases` those that belong to somebody.

    Whatever ends a box calls `end`; one call wins, and starts the one task that removes it. `changed` is set whenever
    there may be something to do.
    """

    def __init__(self, pool: str, supplies: Supplies, group: asyncio.TaskGroup) -> None:
        self._pool, self._with, self._group = pool, supplies, group
        self.boxes: dict[str, Box] = {}
        self.warm: deque[Box] = deque()
        self.leases: dict[str, Lease] = {}
        self.by_holder: dict[Holder, Lease] = {}
        self.leaving: dict[Holder, Box] = {}
        self.changed = asyncio.Event()
        self.ends: OrderedDict[str, Why] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._clearing: set[asyncio.Task[None]] = set()

    def count(self, *states: str) -> int:
        return sum(box.state in states for box in self.boxes.values())

    def new(self, image: str) -> Box:
        box = Box(new_box_id(), image, time.monotonic())
        self.boxes[box.id] = box
        return box

    def run(self, box: Box, work: Work) -> None:
        """Do this for the box, until it ends or is over."""
        task = self._tasks[box.id] = self._group.create_task(self._mind(box, work), name=f"box {box.id}")
        task.add_done_callback(lambda done: self._tasks.pop(box.id, None))

    async def _mind(self, box: Box, work: Work) -> None:
        try:
            await work()
        except Exception:  # a mistake over one box must take neither the others nor the server with it
            log.exception("box.crashed", pool=self._pool, box=box.id)
            self.end(box, "failed")

    async def stand(self, box: Box, starting: Work) -> None:
        """Start the box in a task of its own, which then watches it; raises what `starting` does. Whoever is cancelled here
        ends the box, which lets the engine finish what it is at."""
        stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.run(box, lambda: self._stand(box, starting, stands))
        await stands

    async def _stand(self, box: Box, starting: Work, stands: asyncio.Future[None]) -> None:
        try:
            await starting()
        except Exception as exc:  # it is told to whoever waits
            if not stands.done():
                stands.set_exception(exc)
        except asyncio.CancelledError:
            if not stands.done():
                stands.set_exception(gone(box.id, box.why))
            raise
        else:
            if not stands.done():
                stands.set_result(None)
            await self.watch(box)

    def take_warm(self) -> Box | None:
        """The box that has been warm for longest, not warm any more: whoever gets it owns it."""
        while self.warm:
            box = self.warm.popleft()
            if box.alive and box.states.move("warm", box.states.generation, "leased"):
                return box
        return None

    def lease(self, lease: Lease) -> None:
        """From now on the box is this lease's holder's."""
        lease.box.holder = lease.holder
        self.leases[lease.id] = self.by_holder[lease.holder] = lease
        lease.box.lease_id = lease.id

    def get(self, lease_id: str) -> Lease:
        """SandboxGone, with the reason where it is remembered."""
        lease = self.leases.get(lease_id)
        if lease is None:
            raise gone(lease_id, self.ends.get(lease_id))
        return lease

    # what the engine says

    def standing(self) -> set[str]:
        """Boxes that the engine should have."""
        return {box.id for box in self.boxes.values() if box.link is not None and not box.over.is_set()}

    def ended(self, box_id: str, why: Why) -> None:
        """The engine says that this box is over."""
        if (box := self.boxes.get(box_id)) is not None:
            self.end(box, why)

    def clear_stuck(self) -> None:
        """Remove what the engine would not remove before."""
        for box in list(self.boxes.values()):
            if box.state == "draining" and box.cleared.is_set():
                self.clear(box)

    async def end_all(self) -> None:
        """For the end of the server: every box at once, for a bounded time; the next start clears what is left."""
        boxes = list(self.boxes.values())
        for box in boxes:
            self.end(box, "shutdown")
        with suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_S):
                for box in boxes:
                    await box.cleared.wait()
        for task in (*self._tasks.values(), *self._clearing):
            task.cancel()

    # ends

    def end(self, box: Box, why: Why) -> bool:
        """Remove it from under whoever uses it; whether this call is the one that ended it."""
        if not box.ends(why):
            return False
        if box in self.warm:
            self.warm.remove(box)
        if box.holder is not None:
            self.leaving[box.holder] = box
        lease = self.leases.pop(box.lease_id, None)
        if lease is not None:
            self.by_holder.pop(lease.holder, None)
            self._remember(lease.id, why)
        self._stop_work(box)
        self.clear(box)
        return True

    def _stop_work(self, box: Box) -> None:
        task = self._tasks.get(box.id)
        if task is None or task is asyncio.current_task() or box.starting:
            return
        if box.why not in DEATHS or box.link is not None:  # a start whose box died ends by itself, and says so
            task.cancel()

    def _remember(self, lease_id: str, why: Why) -> None:
        self.ends[lease_id] = why
        while len(self.ends) > _REMEMBERED:
            self.ends.popitem(last=False)
        if why in DEATHS:
            log.warning("sandbox.died", sandbox=lease_id, pool=self._pool, reason=why)
            self._with.bus.publish(SandboxDied(lease_id, self._pool, why))
        else:
            log.info("sandbox.ended", sandbox=lease_id, pool=self._pool, reason=why)

    def clear(self, box: Box) -> None:
        """Remove what is left of a box that is over; again where the engine would not."""
        box.cleared.clear()
        task = self._group.create_task(self._mind(box, lambda: self._clear(box)), name=f"remove box {box.id}")
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _clear(self, box: Box) -> None:
        box.states.move("failed", box.states.generation, "draining")
        await self._stopped(box)
        try:
            await self._detach(box)
            await self._with.starter.clear(box)
        except (AgentrtError, OSError) as exc:
            log.warning("box.not_removed", pool=self._pool, box=box.id, reason=str(exc))
        else:
            box.states.go("removed")
            del self.boxes[box.id]
        finally:
            if box.workspace is not None:
                workspace, box.workspace = box.workspace, None
                await workspace.close()
            if box.holder is not None and self.leaving.get(box.holder) is box:
                del self.leaving[box.holder]
            box.cleared.set()
            self.changed.set()

    async def _stopped(self, box: Box) -> None:
        """Let what is done for the box come to its end: a container that is being created cannot be removed yet."""
        if (task := self._tasks.get(box.id)) is not None:
            await asyncio.wait({task}, timeout=_START_ENDS_S)

    async def _detach(self, box: Box) -> None:
        if box.slot is not None:
            self._with.slots.hide(box.slot)
            if box.workspace is not None:
                await box.workspace.detach(box.slot.workspace)

    async def watch(self, box: Box) -> None:
        """Until its process 1 hangs up; then it is over, for the reason that the engine gives."""
        assert box.link is not None
        await box.link.lost.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENGINES_WORD_S):
                await box.over.wait()
        if not box.over.is_set():
            status = await self._with.engine.probe()
            self.end(box, "exited" if status.ok else "engine")
