"""One run under way in this process: its state, and the way to interrupt what it is doing."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from types import TracebackType

import structlog

from agentrt.agents import AgentSpec
from agentrt.events import Record, StoredEvent
from agentrt.journal import Journal
from agentrt.kernel import Principal, Unavailable, delay
from agentrt.messages import Message
from agentrt.tools import Artifact, Offer, Output

from .policy import Command
from .state import RunState, advance

log = structlog.get_logger()

NO_TOOLS = Offer({})
# refusals of the database in a row, a quarter of a minute in all, before those who wait for the run are told
PATIENCE = 6


Listener = Callable[[Output | Artifact], Awaitable[None]]


class ActStopped(Exception):
    """The run was interrupted, or its time is up, while something was done for it."""


class Drive:
    """`history` is what was said before this run; `outside_s` is the time that models and tools took. `listener` is given the
    output of tools at once, where somebody waits for it. `children` are the runs that its code has begun and that go on, by id
    (None: a call for embeddings). `told` is set once a child's parent knows what it took.

    Every append of a live run goes through here, so that the state never misses a record.
    """

    def __init__(self, journal: Journal, who: Principal, spec: AgentSpec, history: tuple[Message, ...]) -> None:
        self._journal = journal
        self.who, self.spec, self.history = who, spec, history
        self.state: RunState | None = None
        self.acts: Sequence[Command] = ()
        self.offer = NO_TOOLS
        self.outside_s = 0.0
        self.interrupted = False
        self.listener: Listener | None = None
        self.children: dict[str, Drive | None] = {}
        self.told: asyncio.Event | None = None
        self._early: dict[int, Record] = {}
        self._scopes: set[asyncio.Timeout] = set()

    @property
    def known(self) -> RunState:
        """The state as it is in the log."""
        assert self.state is not None, "the run has begun"
        return self.state

    async def append(self, events: Sequence[StoredEvent]) -> None:
        """Facts, at the end of the log. While the database refuses they are held: what happened is not forgotten."""
        for attempt in count(1):
            try:
                if attempt > 1 and not await self.catch_up(events):
                    return
                return self.absorb(await self._journal.append(self.known.run_id, events))
            except Unavailable as exc:
                await self.pause(attempt, exc)

    async def catch_up(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Read what the log has beyond the known state; which of `events` are not in it.

        A connection that breaks during a commit leaves open whether it took place: only the log knows.
        """
        records = await self._journal.read(self.known.run_id, self.known.seq)
        self.absorb(records)
        written = [record.event for record in records]
        return [event for event in events if event not in written]

    async def pause(self, attempt: int, refused: Unavailable) -> None:
        """Wait for a database that refuses. Who follows the run is told when that takes long; the run itself goes on after it."""
        log.warning("run.write_refused", run_id=self.known.run_id, reason=refused.message, attempt=attempt)
        if attempt == PATIENCE:
            self._journal.fail(self.known.run_id, refused)
        await asyncio.sleep(delay(attempt))

    def absorb(self, records: Sequence[Record]) -> None:
        """Fold records into the state in the order of the log, whatever order their appends came back in."""
        for record in records:
            self._early[record.seq] = record
        for seq in sorted(self._early):
            if seq <= self.known.seq:
                del self._early[seq]
            elif seq == self.known.seq + 1:
                self.state = advance(self.known, [self._early.pop(seq)])

    def interrupt(self) -> None:
        """End the acts under way now; their outcomes will say so. Safe at any time."""
        self.interrupted = True
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(0)

    def acting(self) -> "_Acting":
        """An act: ActStopped out of its block once the run is interrupted, or its time is up."""
        return _Acting(asyncio.timeout_at(0 if self.interrupted else self._deadline()), self._scopes)

    def seconds_left(self) -> float:
        """Until the `seconds` budget is spent; a day where there is none."""
        limit = self.spec.budgets.seconds
        return 86_400.0 if limit is None else max(0.0, limit - (time.time() - self.known.at / 1e6))

    def _deadline(self) -> float | None:
        if self.spec.budgets.seconds is None:
            return None
        return asyncio.get_running_loop().time() + self.seconds_left()


class _Acting:
    """A time limit that is known to its run as long as its block lasts. A class, because every model call has one."""

    __slots__ = ("_known", "_scope")

    def __init__(self, scope: asyncio.Timeout, known: set[asyncio.Timeout]) -> None:
        self._scope, self._known = scope, known

    async def __aenter__(self) -> None:
        self._known.add(self._scope)
        await self._scope.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._known.discard(self._scope)
        try:
            await self._scope.__aexit__(kind, exc, trace)
        except TimeoutError as late:
            raise ActStopped from late
