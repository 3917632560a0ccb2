"""What the commands write: answers to standard output, everything about the work to standard error."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

GAP, LAST = 2, 20  # characters between columns, and of the last one
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """`text` without control characters: what a model or tool writes must not steer the terminal."""
    return _CONTROL.sub("", text)


def one_line(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def note(text: str) -> None:
    """A remark about the work, for the person at the terminal."""
    click.secho(text, err=True, dim=True)


def write_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def status(text: str) -> Iterator[None]:
    """A sign of life while something is waited for; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(text):
        yield


def console(*, stderr: bool = False) -> "Console":
    from rich.console import Console  # 0.1 s that `agentrt --help` does not need

    return Console(stderr=stderr, highlight=False)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns for a person; where standard output is no terminal, lines with tabs, whole and without headings.

    Only the last column gives way, to `LAST` characters: ids are there to be copied. A terminal that is narrower still breaks
    the lines.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(one_line(cell, 1000) for cell in row))
        return
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    shown = [[one_line(cell, 1000) for cell in row] for row in rows]
    widths = [max(cell_len(row[number]) for row in (headings, *shown)) for number in range(len(headings))]
    for heading, width in zip(headings, [*widths[:-1], None], strict=True):
        grid.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=width)
    for row in shown:
        grid.add_row(*(Text(cell, overflow="ellipsis") for cell in row))
    out = console()
    least = sum(widths[:-1]) + GAP * len(widths) + min(widths[-1], LAST)
    out.size = out.size._replace(width=max(out.width, least))
    out.print(grid)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line; what has no value is left out."""
    width = max((len(name) for name, value in pairs if value), default=0)
    for name, value in pairs:
        if value:
            click.echo(f"{click.style(name.ljust(width), dim=True)}  {clean(value)}")


def local_time(stamp: str | None) -> str:
    """RFC 3339 as the local time to the second."""
    return f"{datetime.fromisoformat(stamp).astimezone():%Y-%m-%d %H:%M:%S}" if stamp else ""


def seconds(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
