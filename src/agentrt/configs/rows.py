from sqlalchemy import BigInteger, Column, String, Table, Text

from agentrt.db import metadata

# Every version of a document that was ever served. `version` is a hash of `body`: rows are added, never changed.
config_versions = Table(
    "config_versions",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("version", String(16), primary_key=True),
    Column("body", Text, nullable=False),
    Column("loaded_at", BigInteger, nullable=False),
)
