"""Run events as HTTP shows them: one JSON object each, with `seq`, `type`, `run_id`, `at`. Pure."""

from typing import Any

import msgspec

from agentrt.events import Delta, Record, ToolStarted
from agentrt.http import frame
from agentrt.journal import Place
from agentrt.kernel import rfc3339

# What a run began with may hold a whole conversation and the agent's prompt: the run and its session show them.
_HIDDEN = ("ask", "system", "context", "idempotency_key", "body_hash", "tenant", "boot")


def event_object(item: Record | Delta, last_seq: int = 0) -> dict[str, Any]:
    """The event with its place: `seq` is a record's own; live events bear `last_seq`, that of the record before them."""
    body = msgspec.to_builtins(item.event)
    for name in _HIDDEN:
        body.pop(name, None)
    if isinstance(item.event, ToolStarted):
        call = item.event.call
        body = {"call_id": call.id, "name": call.name, "arguments": call.arguments, **body}
        del body["call"]
    seq = item.seq if isinstance(item, Record) else last_seq
    return {"seq": seq, "type": body.pop("type"), "run_id": item.run_id, "at": rfc3339(item.at), **body}


class EventFrames:
    """Frames of one reader's stream, each with the id that leads back to its place."""

    def __init__(self, cursor: str) -> None:
        self._place = Place(cursor)

    def render(self, batch: list[Record | Delta]) -> bytes:
        return b"".join(self._one(item) for item in batch)

    def _one(self, item: Record | Delta) -> bytes:
        self._place.take(item)
        body = event_object(item, self._place.seq)
        resumable = isinstance(item, Record) or item.offset >= 0
        return frame(body["type"], msgspec.json.encode(body), self._place.cursor if resumable else "")

    def reconnect(self) -> bytes:
        """The server ends the stream, not the run: come back with the last id."""
        return frame("reconnect", b'{"type":"reconnect","reason":"server_shutting_down"}', self._place.cursor)
