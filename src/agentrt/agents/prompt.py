"""An agent's `prompt` and `context`: minijinja templates over documented variables. Pure.

What is missing prints as nothing, so that an optional variable never fails a run; what is misspelt is found at load, by
`problems_in`. A line that holds only a `{% tag %}` leaves no empty line. The time a template may take is bounded.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from minijinja import Environment, TemplateError

from agentrt.kernel import Invalid, rfc3339, suggest

from .spec import AgentSpec

STATIC_VARIABLES = {
    "agent": "this agent: agent.name, agent.description, agent.mode, agent.aliases, agent.metadata",
    "model": "the model that answers, as provider/model",
    "tools": "the tools offered, each with id and description",
}
RUN_VARIABLES = {
    "user": "the end user's name as the caller gave it, or empty",
    "session_id": "the session's id, or empty",
    "run_id": "the run's id",
    "now": "the time, as 2026-01-31T09:30:00.000000Z (UTC)",
    "today": "the date, as 2026-01-31 (UTC)",
    "weekday": "the day's English name (UTC)",
    "metadata": "what the caller sent as metadata; metadata.anything is empty where it was not sent",
}

_AGENT_FIELDS = ("name", "description", "mode", "aliases", "metadata")
_FUEL = 100_000
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


class ToolLine(msgspec.Struct, frozen=True):
    """A tool as templates see it."""

    id: str
    description: str = ""


class StaticVars(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for every run of an agent."""

    model: str = ""
    tools: tuple[ToolLine, ...] = ()


class RunVars(StaticVars, frozen=True, kw_only=True):
    """What is known of one run. `now_us` is in microseconds since the epoch."""

    run_id: str
    now_us: int
    user: str = ""
    session_id: str = ""
    metadata: dict[str, Any] = {}


def render_prompt(spec: AgentSpec, known: StaticVars) -> str:
    """The system prompt, without a final line break. Invalid where the template fails on these values."""
    return _render(spec.prompt, "prompt", spec, known)


def render_context(spec: AgentSpec, known: RunVars) -> str:
    """The text for this run, without a final line break. Invalid where the template fails on these values."""
    return _render(spec.context, "context", spec, known)


def problems_in(text: str, spec: AgentSpec, *, per_run: bool) -> list[tuple[str, int]]:
    """What is wrong with a template, as (message, line in the text): its syntax, a name it may not use, or a failing trial
    with everything set and with nothing set. `per_run`: whether it may use RUN_VARIABLES."""
    if not _is_template(text):
        return []
    try:
        names = _environment().undeclared_variables_in_str(text, nested=True)
    except TemplateError as exc:
        return [(f"the template cannot be read: {_reason(exc)}", exc.line or 0)]
    found = [(message, _line_of(name, text)) for name in sorted(names) if (message := _name_problem(name, per_run))]
    return found or _trial(text, spec)


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


def _environment() -> Environment:
    env = Environment(
        undefined_behavior="chainable",
        fuel=_FUEL,
        debug=False,
        auto_escape_callback=lambda name: False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.remove_global("debug")
    return env


@lru_cache(maxsize=256)
def _compiled(text: str) -> tuple[Environment, frozenset[str]]:
    env = _environment()
    env.add_template("text", text)
    return env, frozenset(env.undeclared_variables_in_template("text")) & _VALUES.keys()


def _render(text: str, key: str, spec: AgentSpec, known: StaticVars) -> str:
    if not _is_template(text):
        return text.removesuffix("\n")
    try:
        env, names = _compiled(text)
        return env.render_template("text", **{name: _VALUES[name](spec, known) for name in names})
    except TemplateError as exc:
        reason = f"line {exc.line}: {_reason(exc)}"
        raise Invalid(f"the {key} of agent '{spec.name}' cannot be rendered: {reason}", code="template_failed") from exc


def _reason(exc: TemplateError) -> str:
    return "it runs too long" if exc.kind == "OutOfFuel" else exc.detail or exc.kind


def _agent_value(spec: AgentSpec, _known: Any) -> dict[str, Any]:
    return {field: getattr(spec, field) for field in _AGENT_FIELDS}


def _tools_value(_spec: AgentSpec, known: Any) -> list[dict[str, str]]:
    return [{"id": tool.id, "description": tool.description} for tool in known.tools]


def _day(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, UTC)


_VALUES: dict[str, Callable[[AgentSpec, Any], Any]] = {
    "agent": _agent_value,
    "model": lambda _, known: known.model,
    "tools": _tools_value,
    "user": lambda _, known: known.user,
    "session_id": lambda _, known: known.session_id,
    "run_id": lambda _, known: known.run_id,
    "now": lambda _, known: rfc3339(known.now_us),
    "today": lambda _, known: f"{_day(known.now_us):%Y-%m-%d}",
    "weekday": lambda _, known: f"{_day(known.now_us):%A}",
    "metadata": lambda _, known: known.metadata,
}


def _name_problem(dotted: str, per_run: bool) -> str:
    """What is wrong with one name that a template uses; empty where nothing is."""
    name, _, rest = dotted.partition(".")
    if name in _environment().globals:
        return ""
    if name in RUN_VARIABLES and not per_run:
        aside = " (or use agent.metadata)" if name == "metadata" else ""
        return f"'{name}' changes per run: move it into `context`{aside}"
    known = [*STATIC_VARIABLES, *(RUN_VARIABLES if per_run else ())]
    if name not in known:
        hint = suggest(name, known) or f"; known are {', '.join(known)}"
        return f"the template uses the unknown name '{name}'{hint}"
    field = rest.partition(".")[0]
    if name == "agent" and field and field not in _AGENT_FIELDS:
        hint = suggest(field, _AGENT_FIELDS) or f"; known are {', '.join(_AGENT_FIELDS)}"
        return f"the template uses the unknown name 'agent.{field}'{hint}"
    return ""


def _line_of(dotted: str, text: str) -> int:
    """The line of the first tag that uses a name; minijinja does not say."""
    parts = r"\s*\.\s*".join(map(re.escape, dotted.split(".")))
    used = re.compile(rf"(?<![\w.]){parts}\b")
    for tag in _TAG.finditer(text):
        if inside := used.search(tag[0]):
            return text.count("\n", 0, tag.start() + inside.start()) + 1
    return 0


def _trial(text: str, spec: AgentSpec) -> list[tuple[str, int]]:
    full = RunVars(
        model="provider/model",
        tools=(ToolLine("tool", "What it does."),),
        run_id="run_0",
        now_us=0,
        user="user",
        session_id="sess_0",
    )
    env, names = _compiled(text)
    for known in (full, RunVars(run_id="", now_us=0)):
        try:
            env.render_template("text", **{name: _VALUES[name](spec, known) for name in names})
        except TemplateError as exc:
            return [(f"the template fails: {_reason(exc)}", exc.line or 0)]
    return []
