"""`agentrt runs`: looking at runs, also while they are under way."""

from typing import Any

import click

from .client import connect, quoted
from .flags import as_json, flags
from .run import model_name, watch_run
from .terminal import facts, local_time, note, one_line, seconds, table, write_json

STATUSES = ["queued", "running", "paused_checkpoint", "completed", "failed", "cancelled"]


@click.group()
def runs() -> None:
    """Look at runs of a running server: list, show, watch, cancel."""


@runs.command("list")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--agent", metavar="NAME")
@click.option("--session", "session_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--after", metavar="ID", help="The page after this run.")
@as_json
@flags("url", "addr", "settings")
def list_(
    status: str | None, agent: str | None, session_id: str | None, limit: int, after: str | None, as_json: bool, **said: Any
) -> None:
    """Runs, newest first."""
    with connect(said) as server:
        page = server.get("/runs", status=status, agent=agent, session_id=session_id, limit=limit, after=after, order="desc")
    if as_json:
        return write_json(page)
    table(("RUN", "STATUS", "AGENT", "STARTED", "INPUT"), [_row(run) for run in page["data"]])
    if not page["data"]:
        note("no runs")
    elif page["has_more"]:
        note(f"there are more: --after {page['last_id']}")


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    when = local_time(run["created_at"])
    return (run["id"], run["status"], run["agent"], when, one_line(run["input"], 60))


@runs.command()
@click.argument("run_id", metavar="RUN")
@as_json
@flags("url", "addr", "settings")
def show(run_id: str, as_json: bool, **said: Any) -> None:
    """One run: what was asked, every step with its time, the answer."""
    with connect(said) as server:
        run = server.get(f"/runs/{quoted(run_id)}")
        steps = server.get(f"/runs/{quoted(run_id)}/steps")["data"]
    if as_json:
        return write_json({**run, "steps": steps})
    _summary(run)
    if steps:
        click.echo()
        table(("STEP", "TIME", "STATUS", "WHAT"), [_step_row(step) for step in steps])
    if output := (run.get("output") or {}).get("text"):
        click.echo(f"\n{output}")


def _summary(run: dict[str, Any]) -> None:
    error = run.get("error") or {}
    facts(
        [
            ("run", run["id"]),
            ("status", run["status"] + (f" ({run['finish_reason']})" if run.get("finish_reason") else "")),
            ("error", ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))),
            ("agent", f"{run['agent']} (version {run['agent_version']})"),
            ("model", model_name(run)),
            ("mode", run["mode"]),
            ("session", run.get("session_id") or ""),
            ("started", local_time(run.get("started_at") or run["created_at"])),
            ("ended", local_time(run.get("ended_at"))),
            ("tokens", _tokens(run["usage"])),
            ("cost", f"${run['cost_usd']:.4f}" if run.get("cost_usd") is not None else ""),
            ("input", one_line(run["input"], 1000)),
        ]
    )


def _tokens(usage: dict[str, Any]) -> str:
    counts = [f"{usage[name]} {name.removesuffix('_tokens')}" for name in ("input_tokens", "output_tokens", "total_tokens")]
    return ", ".join(counts) + (" (estimated)" if usage.get("estimated") else "")


def _step_row(step: dict[str, Any]) -> tuple[str, ...]:
    attempts = f" ({step['attempts']} attempts)" if step["attempts"] > 1 else ""
    error = f": {step['error']['message']}" if step.get("error") else ""
    what = f"{step['type']} {step['name']} {one_line(step.get('arguments') or '', 60)}".strip()
    return (str(step["index"] + 1), seconds(step.get("duration_ms")), f"{step['status']}{attempts}", f"{what}{error}")


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.option("--after", "cursor", default="", metavar="CURSOR", help="Only what came after this event id.")
@click.option("--json", "as_json", is_flag=True, help="Every event as one line of JSON.")
@flags("url", "addr", "settings")
@click.pass_context
def watch(ctx: click.Context, run_id: str, cursor: str, as_json: bool, **said: Any) -> None:
    """Follow a run from its beginning to its end. Ctrl-C stops watching, not the run."""
    with connect(said) as server:
        ctx.exit(watch_run(server, quoted(run_id), as_json=as_json, cancel=False, cursor=cursor))


@runs.command()
@click.argument("run_id", metavar="RUN")
@as_json
@flags("url", "addr", "settings")
def cancel(run_id: str, as_json: bool, **said: Any) -> None:
    """Stop a run: its model call and its running tools too."""
    with connect(said) as server:
        run = server.post(f"/runs/{quoted(run_id)}/cancel")
    if as_json:
        return write_json(run)
    click.echo(f"{run['id']} {run['status']}")
