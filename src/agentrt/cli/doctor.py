"""`agentrt doctor`."""

import asyncio
from typing import Any

import click
import msgspec

from agentrt.settings import Settings

from . import checks
from .checks import Check
from .checks_containers import containers
from .client import Server, server_url
from .documents import check_documents
from .flags import as_json, flags, read_settings
from .terminal import clean, counted, status, write_json

MARKS = {"ok": ("✓", "green"), "note": ("·", None), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command()
@as_json
@flags("url", "addr", "config", "mcp_config", "data_dir", "settings", "allow_unauthenticated")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, **said: Any) -> None:
    """Say what is configured, reachable and missing, and what to do about it.

    Exit code 1 when something is there that keeps agentrt from working.
    """
    settings = read_settings(said)
    with status("looking around"):
        found = asyncio.run(_examine(settings, server_url(settings, said.get("url"))[0]))
    if as_json:
        write_json([msgspec.to_builtins(check) for check in found])
    else:
        _show(found)
    ctx.exit(1 if any(check.verdict == "fail" for check in found) else 0)


async def _examine(settings: Settings, url: str) -> list[Check]:
    with Server(url) as server:
        health, stranger = checks.running(server)
        return [
            checks.python(),
            checks.sources(settings),
            checks.data_folder(settings),
            await checks.database(settings),
            stranger or checks.address(settings, server, health),
            *_config_files(settings),
            *checks.providers(settings),
            *await checks.mcp_servers(settings, server, health),
            await containers(settings, health),
            *checks.modules(health),
        ]


def _config_files(settings: Settings) -> list[Check]:
    paths = [settings.config, settings.mcp_config, *([settings.offline_rules] if settings.offline_rules else [])]
    found = check_documents(paths)
    problems = [
        Check("config", "fail", problem, "correct the file; `agentrt config check` looks again") for problem in found.problems
    ]
    return problems or [Check("config", "ok", f"{counted(found.good, 'file')} in {', '.join(str(path) for path in paths)}")]


def _show(found: list[Check]) -> None:
    width = max(len(check.name) for check in found)
    for check in found:
        mark, color = MARKS[check.verdict]
        click.echo(f"{click.style(mark, fg=color)} {check.name.ljust(width)}  {clean(check.detail)}")
        if check.todo:
            click.echo(f"  {' ' * width}  → {clean(check.todo)}")
