"""`agentrt sessions`: conversations that are kept."""

import sys
from typing import Any

import click

from .client import connect, quoted
from .flags import as_json, flags
from .terminal import clean, facts, local_time, note, table, write_json


@click.group()
def sessions() -> None:
    """Look at the sessions of a running server: list, show, delete."""


@sessions.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--after", metavar="ID", help="The page after this session.")
@as_json
@flags("url", "addr", "settings")
def list_(limit: int, after: str | None, as_json: bool, **said: Any) -> None:
    """Sessions, newest first."""
    with connect(said) as server:
        page = server.get("/sessions", limit=limit, after=after, order="desc")
    if as_json:
        return write_json(page)
    table(("SESSION", "LAST RUN", "LAST USED"), [_row(session) for session in page["data"]])
    if not page["data"]:
        note("no sessions")
    elif page["has_more"]:
        note(f"there are more: --after {page['last_id']}")


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    return (session["id"], session.get("head_run") or "", local_time(session["updated_at"]))


@sessions.command()
@click.argument("session_id", metavar="SESSION")
@as_json
@flags("url", "addr", "settings")
def show(session_id: str, as_json: bool, **said: Any) -> None:
    """One session with its messages."""
    with connect(said) as server:
        session = server.get(f"/sessions/{quoted(session_id)}")
        messages = server.get(f"/sessions/{quoted(session_id)}/messages")["data"]
    if as_json:
        return write_json({**session, "messages": messages})
    facts([(name.removesuffix("_at"), _fact(name, value)) for name, value in session.items() if name != "object"])
    for message in messages:
        click.echo(f"\n{click.style(message['role'], bold=True)}")
        click.echo(clean("\n".join(_said(part) for part in message["parts"])))


def _said(part: dict[str, Any]) -> str:
    match part["type"]:
        case "text" | "thinking":
            return part.get("text", "")
        case "tool_call":
            return f"→ {part['name']} {part.get('arguments', '')}"
        case "tool_result":
            return "\n".join(f"← {_said(inner)}" for inner in part.get("parts", ()))
        case kind:
            return f"[{kind}]"


def _fact(name: str, value: Any) -> str:
    if name.endswith("_at"):
        return local_time(value)
    return str(value) if value or value == 0 else ""


@sessions.command()
@click.argument("session_id", metavar="SESSION")
@click.option("--force", is_flag=True, help="Also while a run of it is under way: that run is cancelled.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@as_json
@flags("url", "addr", "settings")
def delete(session_id: str, force: bool, yes: bool, as_json: bool, **said: Any) -> None:
    """Delete a session: its runs, their events and files, for good."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete {session_id} with all its runs and files, for good?", abort=True)
    with connect(said) as server:
        answer = server.delete(f"/sessions/{quoted(session_id)}", force="true" if force else None)
    if as_json:
        return write_json(answer or {"id": session_id, "deleted": True})
    click.echo(f"deleted {session_id}")
