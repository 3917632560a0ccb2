"""Whether a database has the newest schema, and how it gets it."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Literal

from sqlalchemy import Connection, inspect, text

import agentrt
from agentrt.kernel import Invalid

from .database import Database, metadata
from .partial import add_conditions

SchemaState = Literal["empty", "old", "current"]


def import_tables() -> None:
    """Tables register themselves in `metadata` when their module is imported: import every `agentrt.*.rows`."""
    for package in iter_modules(agentrt.__path__):
        if package.ispkg and find_spec(f"agentrt.{package.name}.rows"):
            import_module(f"agentrt.{package.name}.rows")
    add_conditions(metadata)


class Migrations:
    """`folder` holds `alembic.ini` and `migrations/`, whose files in `versions/` are named by their revision."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._revisions = sorted(f.name.partition("_")[0] for f in (folder / "migrations" / "versions").glob("[0-9]*.py"))

    async def state(self, db: Database) -> SchemaState:
        """Invalid where the database holds somebody else's tables, or those of a newer release. Unavailable."""
        async with db.read() as conn:
            tables = await conn.run_sync(lambda sync: inspect(sync).get_table_names())
            if "alembic_version" not in tables:
                if tables:
                    raise Invalid(
                        f"the database holds tables of something else ({', '.join(sorted(tables)[:3])}); "
                        "give agentrt an empty one",
                        code="foreign_database",
                    )
                return "empty"
            found = await conn.scalar(text("SELECT version_num FROM alembic_version"))
        if found is None:
            return "empty"
        if found not in self._revisions:
            raise Invalid(
                f"the database has the schema {found}, which this release does not know; "
                "it was made by a newer agentrt, or by something else",
                code="foreign_database",
            )
        return "current" if found == self._revisions[-1] else "old"

    async def upgrade(self, db: Database) -> SchemaState:
        """Bring the database to the newest schema; what it was before."""
        before = await self.state(db)
        if before != "current":
            async with db.write() as conn:
                await conn.run_sync(self._create if before == "empty" else self._upgrade)
        return before

    def _create(self, connection: Connection) -> None:
        """A new database gets the tables as they are, which the history leads to as well, without loading Alembic."""
        import_tables()
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": self._revisions[-1]})

    def _upgrade(self, connection: Connection) -> None:
        from alembic import command  # most starts find the schema current, and need none of it
        from alembic.config import Config

        config = Config(str(self._folder / "alembic.ini"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
