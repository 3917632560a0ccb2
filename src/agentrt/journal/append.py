"""What a writer is given and what it gives back, the same for both databases."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from agentrt.events import Record, StoredEvent, ends

INSERT_EVENT = "INSERT INTO run_events (run_id, seq, at, body) VALUES (:run_id, :seq, :at, :body)"
SELECT_HEAD = "SELECT coalesce(max(seq), 0) FROM run_events WHERE run_id = :run_id"

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(StoredEvent).decode


class Statement(msgspec.Struct, frozen=True):
    """SQL that both databases understand, with named parameters. It must touch at least one row, unless `may_miss`."""

    sql: str
    params: dict[str, Any]
    may_miss: bool = False


Row = tuple[str, int, int, bytes]
"""`(run_id, seq, at, body)` of `run_events`."""

Projector = Callable[[Sequence[Record]], Iterable[Statement]]
"""Pure: the records of one append (one run, in order) to the statements that keep a table in step with the log."""


class Append:
    """One append on its way: its place is known once the writer has it."""

    __slots__ = ("after", "error", "events", "future", "records", "run_id")

    def __init__(
        self, run_id: str, events: Sequence[StoredEvent], after: int | None, future: "asyncio.Future[list[Record]]"
    ) -> None:
        self.run_id, self.events, self.after, self.future = run_id, events, after, future
        self.records: list[Record] = []
        self.error: Exception | None = None

    def place(self, head: int, at: int) -> None:
        """Give the events their seqs right after `head`."""
        self.records = [Record(self.run_id, head + n, at, event) for n, event in enumerate(self.events, 1)]

    @property
    def ends_run(self) -> bool:
        return ends(self.events[-1])

    def rows(self) -> list[Row]:
        return [(r.run_id, r.seq, r.at, encode(r.event)) for r in self.records]
