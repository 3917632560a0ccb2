from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, text

from agentrt.db import metadata, partial_index

# The searchable shadow of the log: one row a run, rebuilt by replaying it.
runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("user", String(255), nullable=False),
    Column("status", String(20), nullable=False),
    Column("mode", String(20), nullable=False),
    Column("agent", String(64), nullable=False),
    Column("agent_version", String(64), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("model", String(255), nullable=False),
    Column("session_id", String(200)),
    Column("parent_run_id", String(40)),
    Column("input", Text, nullable=False),
    Column("output", Text),
    Column("finish_reason", String(20)),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("metadata", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("audio_input_tokens", BigInteger, nullable=False),
    Column("audio_output_tokens", BigInteger, nullable=False),
    Column("image_input_tokens", BigInteger, nullable=False),
    Column("image_output_tokens", BigInteger, nullable=False),
    Column("estimated", Integer, nullable=False),
    # millionths of a millionth of a US dollar: whole numbers add up to the same in any order
    Column("cost", BigInteger, nullable=False),
    Column("unpriced", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    # not a list of states: SQLite would build it anew, as a table, for every row that is written
    partial_index("ix_runs_live", "id", where=text("ended_at IS NULL")),
    partial_index("ix_runs_session_id", "session_id", "id", where=text("session_id IS NOT NULL")),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("key", String(300), primary_key=True),
    Column("run_id", String(40), nullable=False),
    Column("body_hash", String(64), nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)
