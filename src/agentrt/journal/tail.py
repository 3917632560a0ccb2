"""A reader's place in a run: what it was sent, and so what comes next. Pure.

A cursor is `seq`, the last stored record that was sent, or `seq.offset` with the code points of the open call's visible text
sent so far. Whatever mixture of replay and live text a reader gets, it sees each record once and each character once.
"""

import re

from agentrt.events import (
    Delta,
    FinalText,
    ModelCompleted,
    ModelFailed,
    ModelStarted,
    Record,
    RunCompleted,
    RunStarted,
    TextDelta,
    TextDiscarded,
    ToolCompleted,
    ToolStarted,
)
from agentrt.kernel import Invalid

# What most runs have, and what moves nobody's place within a call.
_MOVES_NONE = frozenset({RunStarted, ToolStarted, ToolCompleted, FinalText, RunCompleted})

_CURSOR = re.compile(r"(\d{1,10})(?:\.(\d{1,10}))?\Z", re.ASCII)


class Place:
    """Where one reader stands. `step` is the model call that the records up to `seq` left open, else 0."""

    def __init__(self, cursor: str = "0") -> None:
        match = _CURSOR.match(cursor)
        if match is None:
            raise Invalid(f"{cursor[:40]!r} is not a cursor: send the id of an event, as it came", param="after")
        self.seq = int(match[1])
        self._shown = int(match[2] or 0)
        self._step = 0
        self._closed = 0
        self._voided = 0

    @property
    def cursor(self) -> str:
        return f"{self.seq}.{self._shown}" if self._shown else str(self.seq)

    def take(self, item: Record | Delta) -> list[Record | Delta]:
        """What to send when `item` comes: itself, a part of it, text that was missed before it, or nothing."""
        if type(item) is Delta:
            return self._take_delta(item)
        assert isinstance(item, Record)
        if item.seq <= self.seq:
            return []
        if type(item.event) in _MOVES_NONE:
            self.seq = item.seq
            return [item]
        missed: list[Record | Delta] = []
        match item.event:
            case ModelStarted(step=step):
                self._step, self._shown, self._voided = step, 0, 0
            case ModelCompleted(step=step, message=message):
                missed = self._rest(item, step, message.text)
                self._close(step)
            case ModelFailed(step=step, text=text):
                missed = self._rest(item, step, text)
                self._close(step)
            case TextDiscarded():
                self._shown, self._voided = 0, item.seq
            case _:
                pass
        self.seq = item.seq
        return [*missed, item]

    def catch_up(self, run_id: str, at: int, step: int, text: str, voided: int) -> list[Record | Delta]:
        """The visible text of the open call that this reader has not been sent."""
        if not text or step <= self._closed:
            return []
        return self._take_delta(Delta(run_id, at, step, len(text), TextDelta(text=text), voided))

    def _take_delta(self, delta: Delta) -> list[Record | Delta]:
        if delta.step <= self._closed or delta.voided < self._voided:
            return []
        if delta.offset < 0:
            return [delta]
        new = delta.offset - self._shown
        if new <= 0:
            return []
        self._shown = delta.offset
        event = delta.event
        assert isinstance(event, TextDelta)
        if new < len(event.text):
            delta = Delta(delta.run_id, delta.at, delta.step, delta.offset, TextDelta(text=event.text[-new:]), delta.voided)
        return [delta]

    def _rest(self, record: Record, step: int, text: str) -> list[Record | Delta]:
        if len(text) <= self._shown:
            return []
        rest = TextDelta(text=text[self._shown :])
        self._shown = len(text)
        return [Delta(record.run_id, record.at, step, len(text), rest, self._voided)]

    def _close(self, step: int) -> None:
        self._closed, self._step, self._shown = step, 0, 0
