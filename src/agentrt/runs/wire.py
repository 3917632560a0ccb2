"""Run events as HTTP shows them: one JSON object each, with `seq`, `type`, `run_id`, `at`. Pure."""

from typing import Any

import msgspec

from agentrt.events import Delta, Record, ToolStarted
from agentrt.http import frame
from agentrt.journal import Place
from agentrt.kernel import rfc3339

from .store import session_of

# What a run began with may hold a whole conversation and the agent's prompt: the run and its session show them.
_HIDDEN = ("ask", "system", "context", "idempotency_key", "body_hash", "session_key", "head_run", "tenant", "boot", "only")


def event_object(item: Record | Delta, last_seq: int = 0) -> dict[str, Any]:
    """The event with its place: `seq` is a record's own; live events bear `last_seq`, that of the record before them."""
    body = msgspec.to_builtins(item.event, enc_hook=msgspec.json.decode)  # what a provider wants back is kept as JSON
    for name in _HIDDEN:
        body.pop(name, None)
    if isinstance(item.event, ToolStarted):
        call = item.event.call
        body = {"call_id": call.id, "name": call.name, "arguments": call.arguments, **body}
        del body["call"]
    if hasattr(item.event, "session_id"):  # a run that named no session has one of its own
        body["session_id"] = session_of(item.run_id, body.get("session_id"))
    if hasattr(item.event, "cost_usd"):  # unknown, and said so
        body.setdefault("cost_usd", None)
    seq = item.seq if isinstance(item, Record) else last_seq
    return {"seq": seq, "type": body.pop("type"), "run_id": item.run_id, "at": rfc3339(item.at), **body}


class EventFrames:
    """Frames of one reader's stream, each with the id that leads back to its place."""

    def __init__(self, run_id: str, cursor: str) -> None:
        self._run_id, self._place = run_id, Place(cursor)

    def render(self, batch: list[Record | Delta]) -> bytes:
        return b"".join(self._one(item) for item in batch)

    def _one(self, item: Record | Delta) -> bytes:
        self._place.take(item)
        body = event_object(item, self._place.seq)
        resumable = isinstance(item, Record) or item.offset >= 0
        return frame(body["type"], msgspec.json.encode(body), self._place.cursor if resumable else "")

    def reconnect(self, reason: str, at: int) -> bytes:
        """The server ends the stream, not the run: come back with the last id."""
        seq, cursor = self._place.seq, self._place.cursor
        body = {"seq": seq, "type": "reconnect", "run_id": self._run_id, "at": rfc3339(at), "reason": reason}
        return frame("reconnect", msgspec.json.encode(body), cursor)
