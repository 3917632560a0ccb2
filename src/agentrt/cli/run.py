"""`agentrt run`: one run, from the question to the answer."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import click

from .client import Refused, Server, Silent
from .flags import SERVER, flags, read_settings
from .follow import ENDS, follow
from .private import any_server
from .screen import Screen
from .terminal import note, status

ENDED = 409


@click.command()
@click.argument("words", metavar="TEXT", nargs=-1, required=True)
@click.option("--agent", metavar="NAME", help="The agent [the default one].")
@click.option("--model", metavar="MODEL", help="Another model than the agent's, as PROVIDER/MODEL.")
@click.option(
    "--mode",
    type=click.Choice(["interactive", "autonomous"]),
    help="Another mode than the agent's.",
)
@click.option("--session", metavar="ID", help="The session that the run continues.")
@click.option("--json", "as_json", is_flag=True, help="Every event as one line of JSON, instead of the answer.")
@flags("url", *SERVER)
@click.pass_context
def run(ctx: click.Context, words: tuple[str, ...], agent: str | None, model: str | None, as_json: bool, **said: Any) -> None:
    """Ask an agent once; TEXT may be `-` for standard input.

    The answer goes to standard output, tools and remarks to standard error. Exit code 0 when the run completed.
    """
    if len(words) != 1:
        raise click.UsageError("TEXT is one argument: put it in quotes")
    (question,) = words
    # an argument that is not UTF-8 comes with half characters, which JSON cannot carry
    text = sys.stdin.read() if question == "-" else question.encode(errors="surrogateescape").decode(errors="replace")
    if not text.strip():
        raise click.UsageError("there is nothing to ask: TEXT is empty")
    wanted = {"agent": agent, "model": model, "mode": said.pop("mode"), "session_id": said.pop("session")}
    with any_server(read_settings(said), said) as server:
        with status("starting the run"):
            view = server.post("/runs", {"input": text} | {k: v for k, v in wanted.items() if v})
        if not as_json:
            note(f"{view['id']}  agent {view['agent']}, model {model_name(view)}")
        ctx.exit(watch_run(server, view["id"], as_json=as_json, cancel=True))


def watch_run(server: Server, run_id: str, *, as_json: bool, cancel: bool, cursor: str = "") -> int:
    """Show a run to its end: 0 when it completed, else 1. With `cancel`, Ctrl-C cancels it."""
    screen, last = Screen(), ""
    with _cancelling(server, run_id) if cancel else nullcontext():
        for event in follow(server, run_id, cursor):
            last = event["type"]
            if as_json:
                click.echo(json.dumps(event, ensure_ascii=False))
            else:
                screen.show(event)
    if not as_json:
        screen.finish()
    if last not in ENDS:
        # there was nothing left to follow: the run had ended before
        last = f"run_{server.get(f'/runs/{run_id}')['status']}"
    return 0 if last == "run_completed" else 1


@contextmanager
def _cancelling(server: Server, run_id: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _cancel(server, run_id)
        sys.exit(1)
    except BrokenPipeError:
        _cancel(server, run_id)
        raise


def _cancel(server: Server, run_id: str) -> None:
    try:
        server.post(f"/runs/{run_id}/cancel")
        click.echo(f"cancelled {run_id}", err=True)
    except (Refused, Silent) as exc:
        if not isinstance(exc, Refused) or exc.status != ENDED:
            click.echo(f"{run_id} could not be cancelled: {exc.message}", err=True)


def model_name(view: dict[str, Any]) -> str:
    """A run's model as a caller would name it."""
    return f"{view['provider']}/{view['model']}" if view.get("provider") else view["model"]
