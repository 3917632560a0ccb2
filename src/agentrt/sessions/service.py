"""The face of sessions: which conversation a request belongs to, what was said in it, what is new."""

import hashlib
import re
from collections.abc import Sequence

import msgspec

from agentrt.agents import SessionSource
from agentrt.events import Record, RunStarted, Segment, Transcript
from agentrt.journal import Journal
from agentrt.kernel import Clock, Invalid, NotFound, Principal, body_of, is_id, new_id, rfc3339
from agentrt.messages import Message, Thinking

from .parts import Parts, RunPart
from .placing import Placed, place
from .store import SessionTable
from .views import CreateSession, Session, SessionMessage, SessionPage, SessionView, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@|+=-]{0,127}\Z")


def is_session(name: str) -> bool:
    """Whether `name` may be a session's id."""
    return _NAME.match(name) is not None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The session that a run will belong to. `id` None: a conversation of its own that may be continued by its run."""

    id: str | None = None
    key: str = ""
    head_run: str | None = None


class SessionService:
    def __init__(self, journal: Journal, table: SessionTable, clock: Clock) -> None:
        self._journal, self._table, self._clock = journal, table, clock
        self._parts = Parts()

    async def target(self, who: Principal, name: str, source: SessionSource, scope: str, idle_s: float) -> Target:
        """The session that `name` stands for: its id, or whose it is where `source` is `user`.

        By `user`, a session idle for more than `idle_s` is not continued: a new one begins. Invalid for a name that cannot
        be one; NotFound for an id of ours that is not there.
        """
        if source == "user":
            return await self._target_of_user(who, name, scope, idle_s)
        if not is_session(name):
            raise Invalid("a session id has 1 to 128 letters, digits or . _ : @ | + = -", param="session_id")
        found = await self._table.find(who.tenant, name)
        if found is not None:
            return Target(id=found.id, head_run=found.head_run)
        if is_id("sess", name):
            run_id = f"run_{body_of(name)}"
            await self._owned_run(who, run_id, name)
            return Target(id=name, head_run=run_id)
        return Target(id=name)

    async def create(self, who: Principal, body: CreateSession) -> SessionView:
        """A new, empty session; Conflict where the id is taken."""
        if body.id is not None and not is_session(body.id):
            raise Invalid("a session id has 1 to 128 letters, digits or . _ : @ | + = -", param="id")
        now = self._clock.now_us()
        session_id = body.id or new_id("sess")
        session = Session(id=session_id, head_run=None, metadata=body.metadata, created_at=now, updated_at=now)
        await self._table.add(who.tenant, session)
        return _view(session)

    async def find(self, who: Principal, session_id: str) -> Session:
        """NotFound for another tenant's. A run that named no session is one of its own."""
        found = await self._find(who, session_id)
        if found is not None:
            return found
        run_id = f"run_{body_of(session_id)}"
        records = await self._owned_run(who, run_id, session_id)
        return Session(id=session_id, head_run=run_id, metadata={}, created_at=records[0].at, updated_at=records[-1].at)

    async def _find(self, who: Principal, session_id: str) -> Session | None:
        return await self._table.find(who.tenant, session_id) if is_session(session_id) else None

    async def owns(self, who: Principal, run_id: str) -> bool:
        """Whether the run is there and of this tenant; for the code of a run: whether it is a child of that run."""
        part = await self.part(run_id)
        return part.tenant == who.tenant and (not who.run or part.parent == who.run)

    async def get(self, who: Principal, session_id: str) -> SessionView:
        return _view(await self.find(who, session_id))

    async def messages(self, who: Principal, session_id: str) -> list[SessionMessage]:
        """What was said, as the caller knows it, oldest first."""
        session = await self.find(who, session_id)
        out: list[SessionMessage] = []
        for run_id, segments in await self._chain(session.head_run):
            for s in segments:
                # a thought without words only carries what its provider wants back
                parts = tuple(shown(part) for part in s.shown.parts if not isinstance(part, Thinking) or part.text)
                out.append(SessionMessage(run_id=run_id, role=s.shown.role, text=s.shown.text, parts=parts))
        return out

    async def forget(self, who: Principal, session_id: str, run_ids: Sequence[str]) -> None:
        await self._table.forget(who.tenant, session_id)
        for run_id in run_ids:
            self._parts.forget(run_id)

    async def place(self, head_run: str | None, request: Sequence[Message]) -> Placed:
        """Which messages of `request` are new to the conversation that ends in `head_run`."""
        segments = [s for _, part in await self._chain(head_run) for s in part]
        return place(segments, request)

    async def history(self, run_id: str | None, length: int | None = None) -> tuple[Message, ...]:
        """The first `length` messages of the transcript that ends in `run_id`, as the model reads them."""
        messages = tuple(m for _, part in await self._chain(run_id) for s in part for m in s.messages)
        return messages if length is None else messages[:length]

    async def part(self, run_id: str) -> RunPart:
        """One run's own share."""
        known = self._parts.get(run_id)
        if known is not None:
            return known
        part, ended = _read_part(await self._journal.read(run_id))
        if ended:
            self._parts.keep(run_id, part)
        return part

    async def _chain(self, run_id: str | None) -> list[tuple[str, Sequence[Segment]]]:
        """The runs that a transcript is made of, oldest first, each with its share of it."""
        chain: list[tuple[str, Sequence[Segment]]] = []
        limit: int | None = None  # how much of the transcript that ends in `run_id` counts
        while run_id is not None:
            part = await self.part(run_id)
            chain.append((run_id, _cut(part.segments, None if limit is None else limit - part.base_length)))
            run_id, limit = part.base_run, part.base_length if limit is None else min(limit, part.base_length)
        chain.reverse()
        return chain

    async def _target_of_user(self, who: Principal, user: str, scope: str, idle_s: float) -> Target:
        key = f"user:{scope}:{hashlib.sha256(user.encode('utf-8', 'surrogatepass')).hexdigest()}"
        found = await self._table.newest_by_key(who.tenant, key)
        if found is None:
            return Target(id=new_id("sess"), key=key)
        if self._clock.now_us() - found.updated_at <= idle_s * 1e6 or await self._goes_on(found.head_run):
            return Target(id=found.id, key=key, head_run=found.head_run)
        return Target(id=new_id("sess"), key=key)

    async def _goes_on(self, run_id: str | None) -> bool:
        """Whether a session's newest run has not ended: as long as it takes, nobody is idle."""
        return run_id is not None and not _read_part(await self._journal.read(run_id))[1]

    async def _owned_run(self, who: Principal, run_id: str, session_id: str) -> list[Record]:
        records = await self._journal.read(run_id) if is_id("run", run_id) else []
        event = records[0].event if records else None
        if event is None or getattr(event, "tenant", None) != who.tenant or getattr(event, "session_id", None):
            raise NotFound(f"there is no session {session_id[:60]!r}", code="session_not_found")
        return records

    async def list(self, who: Principal, limit: int, order: str, after: str | None, before: str | None) -> SessionPage:
        places = [await self._find(who, name) if name else None for name in (after, before)]
        for name, found, param in zip((after, before), places, ("after", "before"), strict=True):
            if name and found is None:
                raise Invalid(f"{name[:60]!r} is not a session", param=param)
        backwards = bool(before) and not after
        rows = await self._table.list(who.tenant, limit + 1, order, places[0], places[1], backwards=backwards)
        data = [_view(s) for s in rows[:limit]][:: -1 if backwards else 1]
        return SessionPage(
            data=data,
            has_more=len(rows) > limit,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
        )


def _read_part(records: Sequence[Record]) -> tuple[RunPart, bool]:
    transcript = Transcript()
    started: RunStarted | None = None
    for record in records:
        transcript = transcript.apply(record.event)
        if isinstance(record.event, RunStarted):
            started = record.event
    if started is None:
        return RunPart(), transcript.ended
    tools = frozenset(tool.name for tool in started.ask.tools)
    segments = tuple(transcript.segments(tools))
    part = RunPart(
        tenant=started.tenant,
        parent=started.parent_run_id,
        base_run=started.base_run,
        base_length=started.base_length,
        segments=segments,
        agent=started.agent,
        agent_version=started.agent_version,
        system=started.system,
    )
    return part, transcript.ended


def _cut(segments: Sequence[Segment], length: int | None) -> Sequence[Segment]:
    """The segments that lie whole within the first `length` messages."""
    if length is None:
        return segments
    out: list[Segment] = []
    for segment in segments:
        length -= len(segment.messages)
        if length < 0:
            break
        out.append(segment)
    return out


def _view(session: Session) -> SessionView:
    return SessionView(
        id=session.id,
        head_run=session.head_run,
        metadata=session.metadata,
        created_at=rfc3339(session.created_at),
        updated_at=rfc3339(session.updated_at),
    )
