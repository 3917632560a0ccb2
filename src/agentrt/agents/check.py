"""What the types of an agent file cannot say. Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from agentrt.kernel import suggest

from . import condition
from .form import BadForm, form_of
from .prompt import problems_in
from .spec import AgentSpec, ModelEntry, Parameters, ToolRule

_MODEL = re.compile(r"[a-z0-9][a-z0-9_-]*/\S+\Z")
_GLOB = re.compile(r"(?:[a-zA-Z0-9_*?-]|\[!?[a-zA-Z0-9_-]+\])+\Z")
_CHOICES = ("auto", "none", "required")
_FORMATS = ("text", "json_object", "json_schema")


class Problem(NamedTuple):
    """`message` about the part of an agent at `path`; `line`, where the part is a text, is the line in it, from 1."""

    path: str
    message: str
    line: int = 0


def check(spec: AgentSpec) -> list[Problem]:
    """Everything wrong with an agent whose types are right; empty when it can be used."""
    return [
        *_names(spec),
        *_models(spec),
        *_parameters(spec.parameters),
        *_locked(spec),
        *_tools(spec),
        *_repeated("$.session.from", spec.session.sources),
        *(Problem("$.prompt", *found) for found in problems_in(spec.prompt, spec, per_run=False)),
        *(Problem("$.context", *found) for found in problems_in(spec.context, spec, per_run=True)),
    ]


def _names(spec: AgentSpec) -> Iterator[Problem]:
    yield from _repeated("$.aliases", spec.aliases)
    for i, alias in enumerate(spec.aliases):
        if alias == spec.name:
            yield Problem(f"$.aliases[{i}]", f"'{alias}' is the agent's name already")


def _models(spec: AgentSpec) -> Iterator[Problem]:
    yield from _repeated("$.model", spec.entries)
    for i, entry in enumerate(spec.entries):
        place = "$.model" if isinstance(spec.model, str) else f"$.model[{i}]"
        if not _MODEL.match(entry.model):
            path = f"{place}.model" if isinstance(spec.model[i], ModelEntry) else place
            yield Problem(path, f"{entry.model!r} is not a model: write provider/model, such as openai/gpt-5.5")
        if entry.when and (found := condition.problem_in(entry.when)) is not None:
            yield Problem(f"{place}.when", *found)


def _parameters(parameters: Parameters) -> Iterator[Problem]:
    choice = parameters.tool_choice
    if isinstance(choice, str) and choice not in _CHOICES:
        yield Problem("$.parameters.tool_choice", _not_one_of(choice, _CHOICES))
    form = parameters.response_format
    if form is not None and form.get("type") not in _FORMATS:
        yield Problem("$.parameters.response_format.type", _not_one_of(form.get("type"), _FORMATS))
    try:
        form_of(form)
    except BadForm as exc:
        yield Problem("$.parameters.response_format.json_schema.schema", f"this is no JSON Schema: {exc}")


def _locked(spec: AgentSpec) -> Iterator[Problem]:
    yield from _repeated("$.locked", spec.locked)
    known = ("model", *Parameters.__struct_fields__)
    for i, name in enumerate(spec.locked):
        if name not in known:
            yield Problem(f"$.locked[{i}]", f"'{name}' is not a parameter{suggest(name, known)}")
        elif name != "model" and name not in spec.parameters.given:
            yield Problem(f"$.locked[{i}]", f"'{name}' is locked but has no value: set it under `parameters`")


def _tools(spec: AgentSpec) -> Iterator[Problem]:
    globs = [entry.match if isinstance(entry, ToolRule) else entry for entry in spec.tools]
    yield from _repeated("$.tools", globs)
    for i, glob in enumerate(globs):
        path = f"$.tools[{i}]" if isinstance(spec.tools[i], str) else f"$.tools[{i}].match"
        if not _GLOB.match(glob):
            yield Problem(path, f"{glob!r} can match no tool: ids are letters, digits, _ and -; *, ? and [abc] match")
        elif "*" in globs[:i] and glob != "*":
            yield Problem(path, f"{glob!r} has no effect after '*': the first rule that matches a tool governs it")


def _repeated(path: str, values: Any) -> Iterator[Problem]:
    seen: Counter[str] = Counter()
    for i, value in enumerate(values):
        seen[value] += 1
        if seen[value] == 2:
            yield Problem(f"{path}[{i}]", f"{_name(value)!r} is listed twice")


def _name(value: Any) -> str:
    return value.model if isinstance(value, ModelEntry) else value


def _not_one_of(value: object, allowed: tuple[str, ...]) -> str:
    return f"{value!r} is not one of {', '.join(map(repr, allowed))}{suggest(str(value), allowed)}"
