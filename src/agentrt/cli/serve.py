"""`agentrt serve`."""

from typing import Any

import click

from agentrt.settings import exposure

from .flags import flags, read_settings


@click.command()
@flags("addr", "config", "mcp_config", "data_dir", "settings", "allow_unauthenticated", "log__level")
@click.pass_context
def serve(ctx: click.Context, **said: Any) -> None:
    """Run the server until it is told to stop (Ctrl-C)."""
    settings = read_settings(said)
    # refused before anything is opened; the server itself warns where it is allowed
    exposure(settings.host, settings.addr, allowed=settings.allow_unauthenticated)
    from agentrt.server import serve as run_server  # half a second of imports that no other command needs

    ctx.exit(run_server(settings))
