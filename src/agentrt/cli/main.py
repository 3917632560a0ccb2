"""The command `agentrt`: its sub-commands, and how every ending becomes an exit code (0 well, 1 not, 2 wrong usage)."""

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click
from click.exceptions import NoSuchCommand

from agentrt import __version__
from agentrt.kernel import AgentrtError
from agentrt.settings import SettingsInvalid

FAILED, USAGE = 1, 2


# in the order in which a new user needs them; each is a module here, imported when it is called for: `--help` stays quick
COMMANDS = {
    "serve": "Run the server until it is told to stop (Ctrl-C).",
    "chat": "Talk to an agent in the terminal.",
    "run": "Ask an agent once.",
    "runs": "Look at runs of a running server: list, show, watch, cancel.",
    "sessions": "Look at the sessions of a running server: list, show, delete.",
    "sandbox": "Work in the sandboxes of a running server: ls, show, exec, shell, files, logs, rm, gc.",
    "skills": "List skills, and check whether they follow the format.",
    "config": "Check agent files and settings, and print their schemas.",
    "doctor": "Say what is configured, reachable and missing, and what to do.",
    "image": "Build, list and remove the images that code runs on.",
    "db": "Upgrade or check the database.",
    "openapi": "Print the OpenAPI description of the server.",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(f".{cmd_name}", __package__), cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise NoSuchCommand(args[0], possibilities=list(COMMANDS), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="agentrt")
def commands() -> None:
    """A self-hosted agent runtime: agents as YAML, tools over MCP, durable runs, one OpenAI-compatible endpoint.

    Start with `agentrt serve`, then `agentrt chat` in another terminal; `agentrt doctor` says what is missing.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Carry out one command line and say how it ended: 0, 1, or 2 where what was typed (or set) cannot be used."""
    _ready_streams()
    try:
        return commands.main(args=args, prog_name="agentrt", standalone_mode=False, color=_color()) or 0
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except AgentrtError as exc:
        unusable = isinstance(exc, SettingsInvalid) or exc.code == SettingsInvalid.default_code
        return _say(exc.message, USAGE if unusable else FAILED)
    except click.Abort:
        return _say("", FAILED)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EIO) or exc.filename:
            raise
        sys.stdout = _nothing("w")  # what waits to be written would fail once more at the end
        return _say(f"the output cannot be written: {(exc.strerror or str(exc)).lower()}", FAILED)


def _ready_streams() -> None:
    """Streams that were closed (`>&-`) become empty ones, and characters that a stream does not know become question marks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nothing(mode))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _nothing(mode: str) -> Any:
    return open(os.devnull, mode)  # it stays open as long as the process


def _color() -> bool | None:
    """False where the person wants none, or the terminal knows none; None leaves it to where the output goes."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _say(message: str, code: int) -> int:
    click.echo(f"Error: {message}" if message else "", err=True)
    return code
