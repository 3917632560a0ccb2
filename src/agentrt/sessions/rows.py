from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from agentrt.db import metadata

sessions = Table(
    "sessions",
    metadata,
    # the id comes first, so that its key finds a session by id alone, as the end of a run does
    Column("id", String(200), primary_key=True),
    Column("tenant", String(64), primary_key=True),
    Column("key", String(300), nullable=False),
    Column("head_run", String(40)),
    Column("metadata", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_sessions_key", "tenant", "key"),
    Index("ix_sessions_updated", "tenant", "updated_at"),
)
