"""`agentrt db`: the schema of the database. The server upgrades it by itself when it starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from agentrt.settings import Settings, make_data_folder

from .checks import not_yet_made
from .flags import flags, read_settings
from .terminal import status

if TYPE_CHECKING:
    from agentrt.db import Database

SAID = {"absent": "does not exist yet", "empty": "is empty", "old": "has an older schema", "current": "has the newest schema"}


@click.group()
def db() -> None:
    """Upgrade or check the database (`agentrt serve` upgrades it by itself)."""


@db.command()
@flags("data_dir", "settings")
def upgrade(**said: Any) -> None:
    """Bring the database to the newest schema. No server may be running on it."""
    settings = read_settings(said)
    with status("upgrading"):
        before = asyncio.run(_upgrade(settings))
    click.echo(f"{settings.shown_database} {'had' if before == 'current' else 'now has'} the newest schema")


@db.command()
@flags("data_dir", "settings")
@click.pass_context
def check(ctx: click.Context, **said: Any) -> None:
    """Say whether the database has the newest schema.

    Exit code 1 where it has not.
    """
    settings = read_settings(said)
    state = asyncio.run(_state(settings))
    click.echo(f"{settings.shown_database} {SAID[state]}")
    if state != "current":
        click.echo("→ agentrt db upgrade, or agentrt serve, which does it too", err=True)
    ctx.exit(0 if state == "current" else 1)


async def _upgrade(settings: Settings) -> str:
    from agentrt.db import Migrations, Ownership
    from agentrt.kernel import share

    make_data_folder(settings.data_dir)
    async with _opened(settings) as database, Ownership(database).hold():
        return await Migrations(share()).upgrade(database)


async def _state(settings: Settings) -> str:
    if not_yet_made(settings):
        return "absent"
    from agentrt.db import Migrations
    from agentrt.kernel import share

    async with _opened(settings) as database:
        return await Migrations(share()).state(database)


@asynccontextmanager
async def _opened(settings: Settings) -> "AsyncIterator[Database]":
    from agentrt.db import Database  # 0.2 s that `--help` does not need

    database = Database(settings.database_url, synchronous=settings.durability)
    try:
        yield database
    finally:
        await database.close()
