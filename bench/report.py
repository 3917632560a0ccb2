"""The table: what was measured, what stands beside it, what is to be reached and what is aimed at."""

import json
import time
from pathlib import Path
from typing import Literal

import msgspec

from .scenarios import Figures

Direction = Literal["at most", "at least"]


class Row(msgspec.Struct, frozen=True):
    """One line of the table. `reach` and `aim` bound the figure itself, or with `relative` its ratio to what stands beside it:
    the pass-through's, or the figure that `beside` names."""

    title: str
    figure: str
    unit: str
    reach: float
    aim: float
    relative: bool = False
    direction: Direction = "at most"
    digits: int = 2
    beside: str = "passthrough"

    def meets(self, bound: float, value: float) -> bool:
        return value <= bound if self.direction == "at most" else value >= bound

    def shown_bound(self, bound: float) -> str:
        return f"{'<=' if self.direction == 'at most' else '>='} {bound:.6g}{' x' if self.relative else ''}"


SANDBOX_ROWS = (
    Row("warm sandbox for somebody new, p50 (create and start beside it)", "sandbox_acquire_ms", "ms", 1, 0.3, beside="engine"),
    Row("print(2+2), variables kept, p50 (the engine's exec beside it)", "sandbox_exec_ms", "ms", 1, 0.35, beside="engine"),
    Row("the same (llm-sandbox beside it)", "sandbox_exec_ms", "ms", 0.0065, 0.0023, relative=True, beside="llm_sandbox"),
    Row(
        "the same (ipykernel beside it, not isolated)",
        "sandbox_exec_ms",
        "ms",
        0.25,
        0.085,
        relative=True,
        beside="ipykernel",
    ),
    Row("the same without the service around it", "sandbox_link_ms", "ms", 1, 0.35),
    Row(
        "print(2+2) in a new process, p50, one after another (a bare fork beside it)",
        "sandbox_once_ms",
        "ms",
        6,
        3,
        beside="fork",
    ),
    Row("the same, with a moment to fork ahead (a bare fork beside it)", "sandbox_ahead_ms", "ms", 6, 0.6, beside="fork"),
    Row("output from flush to callback, p50", "sandbox_chunk_ms", "ms", 0.2, 0.05, digits=3),
    Row("bulk output", "sandbox_bulk_mb", "MB/s", 200, 300, direction="at least", digits=0),
    Row("file of 1 KiB, written and read, p50 (archive calls beside it)", "sandbox_file_ms", "ms", 1, 0.2, beside="engine"),
    Row(
        "boxes that get warm a second (started ones beside it)",
        "sandbox_refill",
        "",
        5,
        6,
        direction="at least",
        digits=1,
        beside="engine",
    ),
    Row("idle box (what its control group counts beside it)", "sandbox_memory_mib", "MiB", 16, 14, digits=1, beside="cgroup"),
    Row("the same, numpy and pandas imported", "sandbox_loaded_mib", "MiB", 30, 27, digits=1, beside="cgroup"),
    Row("attempts to get out that succeed, all engines here", "sandbox_attacks", "", 0, 0, digits=0),
    Row("attempts made on each", "sandbox_attacks_tried", "", 60, 100, direction="at least", digits=0),
    Row("servers killed at random moments: boxes, mounts, folders left", "sandbox_left", "", 0, 0, digits=0),
    Row("servers killed at random moments: files lost", "sandbox_lost", "", 0, 0, digits=0),
)

ROWS = (
    Row("CPU per non-streaming chat", "chat_cpu_ms", "ms", 0.3, 0.15, relative=True, digits=3),
    Row("added latency p50, 1 client", "latency_added_ms", "ms", 0.7, 0.35, relative=True),
    Row("CPU per chat with a built-in tool (a plain chat beside it)", "tool_cpu_ms", "ms", 0.6, 0.25, relative=True, digits=3),
    Row("CPU per streamed event, 100-event answers", "stream_cpu_us", "us", 0.1, 0.05, relative=True, digits=1),
    Row(
        "CPU per streamed event, Anthropic (OpenAI beside it)",
        "anthropic_cpu_us",
        "us",
        1.5,
        1.2,
        relative=True,
        digits=1,
        beside="openai",
    ),
    Row(
        "CPU per streamed tool chat, Anthropic (OpenAI beside it)",
        "anthropic_tool_cpu_ms",
        "ms",
        1.5,
        1.2,
        relative=True,
        digits=3,
        beside="openai",
    ),
    Row("10 % of model calls fail: chats without an answer", "fire_unanswered", "", 0, 0, digits=0),
    Row("10 % of model calls fail: share that did", "fire_failed_share", "%", 9, 9.5, direction="at least", digits=1),
    Row("10 % of model calls fail: p99 beyond that of the same load without", "fire_added_ms", "ms", 20, 10, digits=1),
    Row("200 streams, an event each per 20 ms: events a second", "paced_rate", "", 9_900, 9_900, direction="at least", digits=0),
    Row("200 streams: share of the core", "paced_core", "%", 100, 45, digits=0),
    Row("200 streams: gap p99", "paced_gap_ms", "ms", 40, 30, digits=1),
    Row("exec to healthy", "start_s", "s", 1.5, 0.8),
    Row("exec to healthy, the very first time", "very_first_start_s", "s", 1.5, 0.8),
    Row("first chat after that", "first_chat_ms", "ms", 50, 20, digits=1),
    Row("idle memory, MCP and sandboxes off", "memory_mib", "MiB", 95, 80, digits=1),
    Row("idle memory, echo server connected, sandboxes off", "memory_echo_mib", "MiB", 130, 110, digits=1),
    Row("idle memory, MCP off, sandboxes on (their engine's client is loaded)", "memory_sandboxes_mib", "MiB", 110, 95, digits=1),
    Row("cost of a chat at 100,000 stored runs to that at none", "stored_growth", "x", 1.15, 1.05),
    Row("memory grown over 20,000 chats", "memory_growth_mib", "MiB", 5, 2, digits=1),
    Row("what 200 messages of history cost to twice what 100 do (1: linear)", "history_growth", "x", 1.25, 1.1),
    Row("what 400 turns of a session cost to twice what 200 do (1: linear)", "session_growth", "x", 1.25, 1.1),
    *SANDBOX_ROWS,
)


def line(row: Row, figures: Figures) -> tuple[str, ...] | None:
    """A row's cells; None where it was not measured."""
    ours = figures.get(f"{row.figure}.agentrt")
    if ours is None:
        return None
    theirs = figures.get(f"{row.figure}.{row.beside}")
    ratio = ours / theirs if theirs else None
    value = ratio if row.relative else ours
    mark = "-" if value is None else "aim" if row.meets(row.aim, value) else "reach" if row.meets(row.reach, value) else "MISSED"
    unit = f" {row.unit}" if row.unit else ""
    return (
        row.title,
        f"{theirs:.{row.digits}f}{unit}" if theirs is not None else "-",
        f"{ours:.{row.digits}f}{unit}",
        f"{ratio:.3f}" if ratio is not None else "-",
        row.shown_bound(row.reach),
        row.shown_bound(row.aim),
        mark,
    )


def table(figures: Figures) -> str:
    """The Markdown table of every row that was measured."""
    head = ("work", "beside it", "agentrt", "ratio", "reach", "aim", "met")
    lines = [head, *(cells for row in ROWS if (cells := line(row, figures)))]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(head))]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |" for cells in ruled
    )


def store(figures: Figures, folder: Path) -> Path:
    """Write the figures as JSON; returns the file."""
    folder.mkdir(exist_ok=True)
    file = folder / time.strftime("%Y%m%d-%H%M%S.json")
    file.write_text(json.dumps(figures, indent=2) + "\n")
    return file
