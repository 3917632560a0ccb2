from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from agentrt.db import metadata

sessions = Table(
    "sessions",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("key", String(300), nullable=False),
    Column("head_run", String(40)),
    Column("metadata", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_sessions_head_run", "head_run"),
    Index("ix_sessions_key", "tenant", "key"),
    Index("ix_sessions_updated", "tenant", "updated_at"),
)
