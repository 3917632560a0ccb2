"""A run on the terminal: text as it comes, tools as they work."""

import json
import sys
from typing import Any

import click

from .terminal import clean, note, one_line, seconds

WIDTH = 100


class Screen:
    """Shows one run's events. The answer goes to standard output (as it comes on a terminal, whole elsewhere), all else to
    standard error."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._names: dict[str, str] = {}
        self._shown = ""  # of the model call under way
        self._said = ""  # the last call's whole text
        self._answered = False
        self._at_line_start = True
        self.ended: dict[str, Any] | None = None

    def show(self, event: dict[str, Any]) -> None:
        """One event; types that this version does not know are passed over."""
        match event.get("type"):
            case "text_delta":
                self.text(event.get("text", ""))
            case "text_discarded":
                self._void(event)
            case "final_text":
                self._final(event.get("text", ""))
            case "model_completed":
                # each model call has a text of its own; the next one begins on a new line
                self._line()
                self._said, self._shown = self._shown or self._said, ""
            case "run_completed" | "run_failed" | "run_cancelled":
                self._end(event)
            case str() as kind if kind.startswith("tool_"):
                self._tool(kind, event)
            case _:
                if said := _said_of(event):
                    self._remark(said)

    def text(self, piece: str) -> None:
        """More of the answer."""
        self._shown += piece
        if self._live and piece:
            click.echo(clean(piece), nl=False)
            self._at_line_start = piece.endswith("\n")

    def finish(self) -> None:
        """Nothing more comes: what was held back for a reader that is no terminal is written, and the line ended."""
        text = self._shown or self._said
        if not self._live and text and not self._answered:
            click.echo(text)
        self._line()

    def _final(self, text: str) -> None:
        self._line()
        self._answered = True
        if not self._live:
            click.echo(text)
        elif text.strip() and text not in (self._said, self._shown):
            click.echo(clean(text))

    def _void(self, event: dict[str, Any]) -> None:
        self._shown = ""
        self._remark(f"what stands above is void ({event.get('reason', 'the step starts over')}); the answer starts over")

    def _end(self, event: dict[str, Any]) -> None:
        self.ended = event
        if event["type"] == "run_failed":
            self._remark(f"failed: {event.get('message') or event.get('code')}", error=True)
        elif event["type"] == "run_cancelled":
            self._remark(f"cancelled ({event.get('reason', 'request')})")
        elif event.get("finish_reason") not in {None, "stop"}:
            self._remark(f"ended: {event['finish_reason']}")

    def _tool(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "tool_call_delta":
            return
        if kind == "tool_started":
            self._names[event["call_id"]] = event["name"]
            self._remark(f"→ {event['name']} {one_line(event.get('arguments', ''), WIDTH)}")
            return
        name = event.get("name") or self._names.get(event.get("call_id", ""), "tool")
        if kind in {"tool_stdout", "tool_stderr"}:
            self._remark(f"  {name}: {one_line(_output(event), WIDTH)}")
            return
        result = event.get("result") or {}
        bad = kind == "tool_failed" or result.get("is_error", False)
        mark, why = ("✗", f" ({event['reason']})" if event.get("reason") else "") if bad else ("✓", "")
        self._remark(f"{mark} {name} {seconds(event.get('duration_ms'))}{why}: {one_line(_result(result), WIDTH)}")

    def _remark(self, text: str, *, error: bool = False) -> None:
        self._line()
        if error:
            click.secho(clean(text), err=True, fg="red")
        else:
            note(clean(text))

    def _line(self) -> None:
        if not self._at_line_start:
            click.echo()
            self._at_line_start = True


def _said_of(event: dict[str, Any]) -> str:
    """What there is to say about an event beside text, tools and endings; nothing for most."""
    match event.get("type"):
        case "model_retrying":
            then = f"{event['next']} is asked" if event.get("next") else f"again in {event.get('wait_s', 0):.1f} s"
            return f"model: {event.get('message', '')}; {then}"
        case "model_failed":
            return f"model: {event.get('message', '')}"
        case "budget_exceeded":
            return f"budget reached: {event.get('budget')} {event.get('spent')} of {event.get('limit')}"
        case "checkpoint_required":
            return f"waits for a decision: {event.get('question') or event.get('checkpoint_id')}"
        case "artifact_created":
            return f"file: {event.get('name')} ({event.get('media_type')}, {event.get('size')} bytes)"
    return ""


def _output(event: dict[str, Any]) -> str:
    if event.get("progress") is None:
        return event.get("text", "")
    total = f" of {event['total']:g}" if event.get("total") is not None else ""
    return f"{event['progress']:g}{total} {event.get('text', '')}"


def _result(result: dict[str, Any]) -> str:
    parts = result.get("parts") or []
    texts = [part.get("text") or f"[{part.get('type', 'part')}]" for part in parts]
    return "\n".join(texts) or json.dumps(result.get("structured"), ensure_ascii=False)
