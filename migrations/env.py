"""How a database is brought to the newest schema: one history for SQLite and PostgreSQL.

The server passes its own connection in `config.attributes["connection"]`; on the command line the database is named by
`-x url=…` (`sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://…`).
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from agentrt.db import import_tables, metadata

# Any number, as long as every process that migrates this database asks for the same one.
LOCK = 724311


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two servers that start at once: the second waits here, then finds nothing left to do.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context.run_migrations()


async def migrate_by_url(url: str) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
    finally:
        await engine.dispose()


import_tables()
given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    asyncio.run(migrate_by_url(context.get_x_argument(as_dictionary=True)["url"]))
