from sqlalchemy import BigInteger, Column, String, Table

from agentrt.db import metadata

# Who refers to which bytes: content is on disk under its hash, once, however many runs refer to it.
files = Table(
    "files",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("run_id", String(40), primary_key=True, index=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("media_type", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
