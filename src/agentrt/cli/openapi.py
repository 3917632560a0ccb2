"""`agentrt openapi`."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import click
import httpx2
import msgspec

from agentrt.kernel import configure_logs
from agentrt.settings import Settings

from .flags import flags, read_settings
from .terminal import write_json


@click.command()
@flags("settings")
def openapi(**said: Any) -> None:
    """Print the OpenAPI description of the server as JSON."""
    settings = read_settings(said)
    configure_logs("error")
    with tempfile.TemporaryDirectory() as folder:
        write_json(asyncio.run(_describe(_apart(settings, Path(folder)))))


def _apart(settings: Settings, folder: Path) -> Settings:
    """The same modules, with nothing of this machine behind them: no data, no MCP server is started."""
    return msgspec.structs.replace(
        settings,
        data_dir=folder,
        database_url=f"sqlite+aiosqlite:///{folder / 'agentrt.db'}",
        mcp_config=folder / "servers.yaml",
        mcp_server_url=None,
        env={name: value for name, value in settings.env.items() if name != "MCP_SERVER_URL"},
    )


async def _describe(settings: Settings) -> Any:
    from agentrt.app import open_application  # half a second of imports that `--help` does not need

    async with open_application(settings) as app:
        transport = httpx2.ASGITransport(app.asgi)  # pyright: ignore[reportArgumentType]  # two spellings of one protocol
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.get("/schema/openapi.json")
    if answer.is_error:
        raise click.ClickException(f"the server could not describe itself: {answer.json()['detail']}")
    return answer.json()
