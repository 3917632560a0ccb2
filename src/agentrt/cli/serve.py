"""`agentrt serve`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from agentrt.settings import Settings, exposure, make_data_folder

from .banner import banner
from .flags import flags, read_settings
from .own_name import own_name

if TYPE_CHECKING:
    from agentrt.app import Application


@click.command()
@flags("addr", "config", "mcp_config", "data_dir", "settings", "allow_unauthenticated", "log__level")
@click.pass_context
def serve(ctx: click.Context, **said: Any) -> None:
    """Run the server until it is told to stop (Ctrl-C)."""
    settings = read_settings(said)
    if warning := exposure(settings.host, settings.addr, allowed=settings.allow_unauthenticated):
        settings = msgspec.structs.replace(settings, notices=(*settings.notices, warning))
    make_data_folder(settings.data_dir)
    from agentrt.server import serve as run_server  # half a second of imports that refusing a setting does not need

    ctx.exit(run_server(settings, lambda app, url: click.echo(_announcement(app, url, settings))))


def _announcement(app: "Application", url: str, settings: Settings) -> str:
    agent, model, skipped = app.default_model()
    if not model:
        skipped, why = (), ", ".join(skipped)
    else:
        why = _why(model, skipped, settings.default_model)
    return banner(
        url=url,
        agent=agent,
        model=model,
        why=why,
        data_dir=str(settings.data_dir),
        command=own_name(sys.argv[0], sys.executable, Path.cwd()),
        skipped=skipped,
        warnings=(*settings.notices, *app.services.configs.problems()),
    )


def _why(model: str, skipped: tuple[str, ...], wanted: str | None) -> str:
    if wanted and wanted in (model, model.partition("/")[2]):
        return "DEFAULT_MODEL says so"
    if model.startswith("offline/"):
        return "no provider is configured, so the embedded offline model answers" if skipped else "the agent's file names it"
    return "the first of its models whose provider is configured" if skipped else "the first of its models"
