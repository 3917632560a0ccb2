"""The open sessions of the older era: many clients begin one for every call and never end it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentrt.kernel import Principal


class Visit:
    """A session, of use to `who` alone; `busy` is how many requests of it are under way."""

    def __init__(self, who: Principal) -> None:
        self.who, self.busy = who, 0
        self.connection: Any = None


class Visits:
    """By id, in the order of their last use."""

    def __init__(self) -> None:
        self._open: dict[str, Visit] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, session: str, who: Principal) -> None:
        self._open[session] = Visit(who)

    def end(self, session: str) -> None:
        self._open.pop(session, None)

    def connect(self, session: str, connection: Any) -> None:
        """What says something to this session by itself."""
        if visit := self._open.get(session):
            visit.connection = connection

    def connections(self) -> list[Any]:
        return [visit.connection for visit in self._open.values() if visit.connection is not None]

    @contextmanager
    def using(self, session: str, who: Principal) -> Iterator[None]:
        """While a request of this session is under way. Fine for one that is not there, or is somebody else's."""
        visit = self._open.get(session)
        if visit is None or visit.who != who:
            yield
            return
        self._open[session] = self._open.pop(session)
        visit.busy += 1
        try:
            yield
        finally:
            visit.busy -= 1

    def idlest(self) -> tuple[str, Principal] | None:
        """Of who has the most sessions, the one that was not used for longest; None where all are at work."""
        idle = {id_: visit.who for id_, visit in self._open.items() if not visit.busy}
        if not idle:
            return None
        (most, _) = Counter(idle.values()).most_common(1)[0]
        return next((id_, who) for id_, who in idle.items() if who == most)
