"""`agentrt sandbox`: containers that code runs in, of a running server."""

import math
import signal
import sys
from codeop import compile_command
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import click

from .client import Refused, Server, connect, quoted
from .flags import as_json, flags
from .sandbox_output import execute, status_of
from .terminal import clean, facts, local_time, note, seconds, table, write_json

user_option = click.option("--user", default="", metavar="NAME", help="Whose sandboxes (x-user-id) [nobody's].")
LANGUAGES = click.Choice(["python", "bash"])
PROMPTS = {"python": (">>> ", "... "), "bash": ("$ ", "> ")}
_ENDS = (signal.SIGHUP, signal.SIGTERM)


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("that is no number of seconds")
    return value


def shared(function: Any) -> Any:
    return user_option(flags("url", "addr", "settings")(function))


def server_of(said: dict[str, Any]) -> Server:
    user = said.pop("user")
    server = connect(said)
    server.speak_for(user)
    return server


@click.group()
def sandbox() -> None:
    """Look at the sandboxes of a running server, and work in them."""


@sandbox.command()
@as_json
@shared
def ls(as_json: bool, **said: Any) -> None:
    """Sandboxes of a user."""
    with server_of(said) as server:
        page = server.get("/sandboxes")
    if as_json:
        return write_json(page)
    rows = [
        (one["id"], one["pool"], one["state"], str(one["executions"]), one["session"] or "(all)", local_time(one["used_at"]))
        for one in page["data"]
    ]
    table(("SANDBOX", "POOL", "STATE", "RUNS", "SESSION", "LAST USED"), rows)
    if not rows:
        note("no sandboxes")


@sandbox.command("exec")
@click.argument("words", metavar="CODE", nargs=-1, required=True)
@click.option("--in", "sandbox_id", metavar="SANDBOX", help="In this one [a new one, for this command].")
@click.option("--session", metavar="NAME", help="In that of this session.")
@click.option("--language", type=LANGUAGES, default="python", show_default=True)
@click.option("--timeout", type=float, callback=finite, metavar="SECONDS", help="At most so long [the pool's limit].")
@as_json
@shared
@click.pass_context
def exec_(
    ctx: click.Context,
    words: tuple[str, ...],
    sandbox_id: str | None,
    session: str | None,
    language: str,
    timeout: float | None,
    as_json: bool,
    **said: Any,
) -> None:
    """Execute CODE, and exit with its exit code.

    `-` reads CODE from standard input.
    """
    if len(words) != 1:
        raise click.UsageError("CODE is one argument, in quotes; a sandbox is named by --in")
    (code,) = words
    body: dict[str, Any] = {"code": sys.stdin.read() if code == "-" else code, "language": language}
    body |= {} if timeout is None else {"timeout_s": timeout}
    with server_of(said) as server, _sandbox(server, sandbox_id, session) as id_:
        result = execute(server, id_, body, quiet=as_json)
    if as_json:
        write_json(result)
    ctx.exit(status_of(result["exit_code"]))


@contextmanager
def _sandbox(server: Server, sandbox_id: str | None, session: str | None) -> Iterator[str]:
    """The id of the sandbox that was named, or of a new one, which goes with the block, files and all."""
    if sandbox_id is not None and session is not None:
        raise click.UsageError("name the sandbox or its session, not both")
    if sandbox_id is not None:
        yield server.get(f"/sandboxes/{quoted(sandbox_id)}")["id"]
    elif session is not None:
        yield server.post("/sandboxes", {"session": session})["id"]
    else:
        for number in _ENDS:  # the terminal was closed, say: that is no reason to leave the sandbox behind
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _leave)
        id_ = server.post("/sandboxes")["id"]
        try:
            yield id_
        finally:
            with suppress(Refused):  # it ended by itself
                server.delete(f"/sandboxes/{quoted(id_)}", files="true")


def _leave(number: int, frame: object) -> None:
    for other in _ENDS:  # once is enough: what follows takes the sandbox away
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


@sandbox.command()
@click.argument("sandbox_id", metavar="[SANDBOX]", required=False)
@click.option("--session", metavar="NAME", help="That of this session.")
@click.option("--language", type=LANGUAGES, default="python", show_default=True)
@shared
def shell(sandbox_id: str | None, session: str | None, language: str, **said: Any) -> None:
    """Type code line by line: Python whose variables stay, or Bash. Ctrl-C stops what runs, Ctrl-D ends the shell.

    A sandbox that neither SANDBOX nor --session named ends with it, files and all.
    """
    first, more = PROMPTS[language]
    with server_of(said) as server, _sandbox(server, sandbox_id, session) as id_:
        note(f"{id_}; Ctrl-D ends")
        while (code := _typed(first, more, _is_whole if language == "python" else _is_one_line)) is not None:
            if code.strip():
                try:
                    execute(server, id_, {"code": code, "language": language})
                except click.ClickException as exc:
                    exc.show()
                except KeyboardInterrupt:  # hanging up ends the execution
                    note("[stopped]")


def _typed(first: str, more: str, whole: Callable[[str], bool]) -> str | None:
    """What was typed, until it is whole; None at the end."""
    lines: list[str] = []
    try:
        while True:
            lines.append(input((more if lines else first) if sys.stdin.isatty() else ""))
            if whole("\n".join(lines)):
                return "\n".join(lines)
    except EOFError:
        return "\n".join(lines) if lines else None
    except KeyboardInterrupt:
        click.echo()
        return ""


def _is_whole(code: str) -> bool:
    """Whether more lines may follow, as Python's own prompt sees it. What is wrong is whole: the sandbox says why."""
    try:
        return compile_command(code) is not None
    except (SyntaxError, ValueError, OverflowError):
        return True


def _is_one_line(code: str) -> bool:
    return not code.endswith("\\")


@sandbox.command()
@click.argument("sandbox_id", metavar="SANDBOX")
@click.argument("path", default=".")
@click.option("--get", is_flag=True, help="Write the file at PATH to standard output.")
@click.option("--zip", "packed", type=click.Path(path_type=Path), metavar="FILE", help="Write all below PATH to this zip.")
@as_json
@shared
def files(sandbox_id: str, path: str, get: bool, packed: Path | None, as_json: bool, **said: Any) -> None:
    """List the files of a workspace, or fetch them."""
    base = f"/sandboxes/{quoted(sandbox_id)}"
    if get and path in ("", "."):
        raise click.UsageError("--get needs the PATH of a file; --zip fetches a folder")
    with server_of(said) as server:
        if get:
            return sys.stdout.buffer.writelines(server.pieces(f"{base}/files/{quoted(path)}"))
        if packed is not None:
            return _write(packed, server.pieces(f"{base}/zip", path=path))
        page = server.get(f"{base}/files", path=path, recursive="true")
    if as_json:
        return write_json(page)
    rows = [
        (one["path"] + ("/" if one["type"] == "folder" else ""), str(one["size"]), local_time(one["modified_at"]))
        for one in page["data"]
    ]
    table(("FILE", "BYTES", "CHANGED"), rows)


def _write(file: Path, pieces: Iterator[bytes]) -> None:
    start = next(pieces, b"")  # what is refused leaves no empty file
    try:
        with file.open("wb") as out:
            out.writelines(chain((start,), pieces))
    except OSError as exc:
        raise click.ClickException(f"{file} cannot be written: {exc.strerror}") from None
    note(f"wrote {file}")


@sandbox.command()
@click.argument("sandbox_id", metavar="SANDBOX")
@as_json
@shared
def logs(sandbox_id: str, as_json: bool, **said: Any) -> None:
    """What was executed in it lately.

    `agentrt runs show RUN` tells more of each.
    """
    with server_of(said) as server:
        page = server.get(f"/sandboxes/{quoted(sandbox_id)}/log")
    if as_json:
        return write_json(page)
    rows = [
        (
            one["run_id"],
            local_time(one["at"]),
            one["mode"],
            f"exit {one['exit_code']}" if one["ended"] == "exited" else one["ended"],
            seconds(one["duration_ms"]),
        )
        for one in page["data"]
    ]
    table(("RUN", "AT", "KIND", "ENDED", "TOOK"), rows)
    if not rows:
        note("nothing was executed in it yet")


@sandbox.command()
@click.argument("sandbox_id", metavar="SANDBOX")
@as_json
@shared
def show(sandbox_id: str, as_json: bool, **said: Any) -> None:
    """One sandbox, with how full its workspace is."""
    with server_of(said) as server:
        one = server.get(f"/sandboxes/{quoted(sandbox_id)}")
    if as_json:
        return write_json(one)
    disk = one.pop("disk")
    told = [(name, clean(str(value))) for name, value in one.items() if name != "object" and value is not None]
    facts([*told, ("disk", f"{disk['used_bytes'] / 1e6:.1f} of {disk['bytes'] / 1e6:.0f} MB")])


@sandbox.command()
@click.argument("sandbox_ids", metavar="SANDBOX...", nargs=-1, required=True)
@click.option("--files", is_flag=True, help="With their files, for good.")
@shared
@click.pass_context
def rm(ctx: click.Context, sandbox_ids: tuple[str, ...], files: bool, **said: Any) -> None:
    """End sandboxes with all that runs in them.

    Their files stay for the session's next one.
    """
    refused = 0
    with server_of(said) as server:
        for id_ in sandbox_ids:
            try:
                server.delete(f"/sandboxes/{quoted(id_)}", files="true" if files else None)
            except Refused as exc:
                exc.show()
                refused += 1
            else:
                click.echo(f"removed {id_}")
    ctx.exit(1 if refused else 0)


@sandbox.command()
@as_json
@shared
def gc(as_json: bool, **said: Any) -> None:
    """Delete workspaces that nobody has used for long.

    How long the settings say: containers.keep_workspaces_s.
    """
    with server_of(said) as server:
        done = server.post("/sandboxes/gc")
    if as_json:
        return write_json(done)
    click.echo(f"removed {done['removed']}")
