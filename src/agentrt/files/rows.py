from sqlalchemy import BigInteger, Column, Index, String, Table

from agentrt.db import metadata, partial_index

# Who refers to which bytes: content is on disk under its hash, once, however many refer to it. What was uploaded has no run.
files = Table(
    "files",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("run_id", String(40), primary_key=True),
    Column("user", String(255), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("media_type", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=True),
)
Index("ix_files_run_id", files.c.run_id, files.c.created_at)
partial_index("ix_files_expires_at", files.c.expires_at, where=files.c.expires_at.is_not(None))
