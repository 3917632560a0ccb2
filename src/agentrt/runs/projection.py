"""How the rows of runs follow from the records. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from agentrt import events as e
from agentrt.journal import Statement
from agentrt.messages import Message

_INSERT = """
INSERT INTO runs (id, tenant, "user", status, mode, agent, agent_version, provider, model, session_id, parent_run_id,
  input, output, finish_reason, error_code, error_message, metadata, input_tokens, output_tokens, cached_tokens,
  reasoning_tokens, cache_write_tokens, audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens,
  estimated, cost, unpriced, created_at, started_at, ended_at)
VALUES (:id, :tenant, :user, :status, :mode, :agent, :agent_version, :provider, :model, :session_id, :parent_run_id,
  :input, NULL, NULL, NULL, NULL, :metadata, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, :at, :started_at, NULL)
"""
_START = """
UPDATE runs SET status = 'running', provider = :provider, model = :model, session_id = :session_id, started_at = :at
WHERE id = :id
"""
_MOVE = """
UPDATE runs SET status = coalesce(:status, status), output = coalesce(:output, output),
  finish_reason = coalesce(:finish_reason, finish_reason), error_code = coalesce(:error_code, error_code),
  error_message = coalesce(:error_message, error_message), ended_at = coalesce(:ended_at, ended_at),
  input_tokens = input_tokens + :input_tokens, output_tokens = output_tokens + :output_tokens,
  cached_tokens = cached_tokens + :cached_tokens, reasoning_tokens = reasoning_tokens + :reasoning_tokens,
  cache_write_tokens = cache_write_tokens + :cache_write_tokens,
  audio_input_tokens = audio_input_tokens + :audio_input_tokens,
  audio_output_tokens = audio_output_tokens + :audio_output_tokens,
  image_input_tokens = image_input_tokens + :image_input_tokens,
  image_output_tokens = image_output_tokens + :image_output_tokens,
  estimated = estimated + :estimated, cost = cost + :cost, unpriced = unpriced + :unpriced
WHERE id = :id
"""
COST_UNITS = 10**12
"""How many of the column `cost` make a US dollar."""

_KEY = """
INSERT INTO idempotency_keys (tenant, key, run_id, body_hash, at) VALUES (:tenant, :key, :run_id, :body_hash, :at)
ON CONFLICT (tenant, key) DO UPDATE SET run_id = excluded.run_id, body_hash = excluded.body_hash, at = excluded.at
"""


def project(records: Sequence[e.Record]) -> Iterable[Statement]:
    """The statements that bring the tables up to `records`, consecutive ones of one run."""
    first = records[0]
    if isinstance(first.event, e.RunQueued | e.RunStarted):
        yield from _accept(first, first.event)
    move = _Move()
    for record in records:
        move.add(record)
    if move.moved:
        yield Statement(_MOVE, move.params(first.run_id))


def _accept(record: e.Record, event: e.RunQueued | e.RunStarted) -> Iterable[Statement]:
    if record.seq > 1:
        params = {"id": record.run_id, "provider": event.provider, "model": storable(event.model)[:255], "at": record.at}
        yield Statement(_START, {**params, "session_id": event.session_id})
        return
    running = isinstance(event, e.RunStarted)
    yield Statement(
        _INSERT,
        {
            "id": record.run_id,
            "tenant": event.tenant,
            "user": storable(event.user)[:255],
            "status": "running" if running else "queued",
            "mode": event.mode,
            "agent": event.agent,
            "agent_version": event.agent_version,
            "provider": event.provider,
            "model": storable(event.model)[:255],
            "session_id": event.session_id,
            "parent_run_id": event.parent_run_id,
            "input": storable(newest_user_text(event.input)),
            "metadata": msgspec.json.encode(event.metadata).decode(),
            "at": record.at,
            "started_at": record.at if running else None,
        },
    )
    if event.idempotency_key:
        params = {"tenant": event.tenant, "key": event.idempotency_key, "run_id": record.run_id}
        yield Statement(_KEY, {**params, "body_hash": event.body_hash, "at": record.at})


_MOVES_NOTHING = frozenset({e.RunStarted, e.ModelStarted, e.ToolStarted, e.ToolCompleted})


class _Move:
    """What a few records change in the run's row."""

    def __init__(self) -> None:
        self.moved = False
        self._spent = e.Spending()
        self._changes: dict[str, Any] = {}

    def add(self, record: e.Record) -> None:
        if type(record.event) in _MOVES_NOTHING:
            return
        match record.event:  # what most runs have comes first: each case that does not fit has its price
            case e.FinalText(text=text):
                self._changes["output"] = storable(text)
            case e.RunCompleted(finish_reason=reason):
                self._changes |= {"status": "completed", "finish_reason": reason, "ended_at": record.at}
            case e.ModelCompleted() | e.ModelFailed() | e.ModelRetrying() | e.ChildSpent() as attempt:
                self._spent = self._spent.plus(attempt)
            case e.CheckpointRequired():
                self._changes["status"] = "paused_checkpoint"
            case e.CheckpointResolved():
                self._changes["status"] = "running"
            case e.RunFailed(code=code, message=message):
                self._changes |= {"status": "failed", "error_code": code, "error_message": storable(message)}
                self._changes["ended_at"] = record.at
            case e.RunCancelled():
                self._changes |= {"status": "cancelled", "ended_at": record.at}
            case _:
                return
        self.moved = True

    def params(self, run_id: str) -> dict[str, Any]:
        changed, usage = self._changes.get, self._spent.usage
        return {
            "id": run_id,
            "status": changed("status"),
            "output": changed("output"),
            "finish_reason": changed("finish_reason"),
            "error_code": changed("error_code"),
            "error_message": changed("error_message"),
            "ended_at": changed("ended_at"),
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cached_tokens": usage.cached,
            "reasoning_tokens": usage.reasoning,
            "cache_write_tokens": usage.cache_write,
            "audio_input_tokens": usage.audio_input,
            "audio_output_tokens": usage.audio_output,
            "image_input_tokens": usage.image_input,
            "image_output_tokens": usage.image_output,
            "estimated": int(usage.estimated),
            "cost": round(self._spent.known_usd * COST_UNITS),
            "unpriced": self._spent.unpriced,
        }


def newest_user_text(messages: Sequence[Message]) -> str:
    """The text of the last message of the user, for lists; empty where there is none."""
    return next((m.text for m in reversed(messages) if m.role == "user"), "")


def storable(text: str) -> str:
    """PostgreSQL refuses NUL in text, and neither database takes lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
