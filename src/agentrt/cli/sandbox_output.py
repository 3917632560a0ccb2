"""An execution on the terminal: output as it comes, then what is to be said of its end."""

import json
from typing import Any

import click

from .client import Refused, Server, quoted
from .sse import read_events
from .terminal import clean, note


def execute(server: Server, sandbox_id: str, body: dict[str, Any], *, quiet: bool = False) -> dict[str, Any]:
    """Carry it out and show it, unless `quiet`; its result. Refused where it could not be carried out."""
    with server.stream(f"/sandboxes/{quoted(sandbox_id)}/stream", {}, body=body) as response:
        for event in read_events(response.iter_raw()):
            said = json.loads(event.data)
            match event.event:
                case "stdout" | "stderr" | "artifact" if quiet:
                    pass
                case "stdout":
                    click.echo(clean(said["text"]), nl=False)
                case "stderr":
                    click.echo(clean(said["text"]), nl=False, err=True)
                case "artifact":
                    note(f"[{clean(said['name'])}: {said['size']} bytes, {said['file']}]")
                case "result":
                    del said["type"]
                    return said if quiet else _told(said)
                case "error":
                    raise Refused(said["message"], 500)
                case _:
                    pass
    raise Refused("the server stopped before the execution had ended", 503)


def status_of(exit_code: int) -> int:
    """With what a command ends whose code ended so: as shells have it, 128 and the signal where one ended it."""
    return min(255, 128 - exit_code if exit_code < 0 else exit_code)


def _told(result: dict[str, Any]) -> dict[str, Any]:
    if result["result"]:
        click.echo(clean(result["result"]))
    if result["ended"] != "exited":
        note(f"[stopped: {result['ended']}]")
    if result["state_lost"]:
        note("[the interpreter was started anew: variables of earlier executions are gone]")
    return result
