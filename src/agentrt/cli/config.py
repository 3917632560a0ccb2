"""`agentrt config`: checking what operators write, and schemas for their editors."""

from pathlib import Path
from typing import Any

import click
import msgspec

from .documents import KINDS, check_documents
from .terminal import counted, write_json


@click.group()
def config() -> None:
    """Check agent files and settings, and print their schemas."""


@config.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILES...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")
@click.pass_context
def check_(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Check agents, MCP servers, offline rules and settings.

    A folder stands for its *.yaml files. Every problem is a line FILE:LINE:COLUMN: MESSAGE. Exit code 1 when there is one.
    """
    found = check_documents(files)
    if as_json:
        write_json(msgspec.to_builtins(found))
    else:
        for problem in found.problems:
            click.echo(problem)
        click.echo(f"{counted(found.good, 'file')} can be used, {counted(len(found.problems), 'problem')}", err=True)
    ctx.exit(1 if found.problems else 0)


@config.command()
@click.argument("kind", type=click.Choice([*KINDS, "settings"]), default="agent")
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of file [agent]."""
    write_json(_schema(kind))


def _schema(kind: str) -> dict[str, Any]:
    from agentrt.agents import agent_schema
    from agentrt.settings import Options

    if kind == "agent":
        return agent_schema()
    of = Options if kind == "settings" else KINDS[kind]
    schema = msgspec.json.schema(of, schema_hook=lambda _path: {"type": "string"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:agentrt:{kind}", **schema}
