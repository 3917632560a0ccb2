"""`agentrt openapi`."""

from typing import Any

import click

from .flags import flags, read_settings
from .terminal import write_json


@click.command()
@flags("settings")
def openapi(**said: Any) -> None:
    """Print the OpenAPI description of the server as JSON."""
    from agentrt.app import create_app  # half a second of imports that no other command needs

    write_json(create_app(read_settings(said)).openapi_schema.to_schema())
