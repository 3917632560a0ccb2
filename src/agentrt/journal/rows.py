from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from agentrt.db import metadata

# One row an event. `run_id` sorts by birth, so new runs append to the end of the tree.
run_events = Table(
    "run_events",
    metadata,
    Column("run_id", String(40), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
