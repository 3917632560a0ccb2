"""Texts of offline rules, with their variables filled in, and arguments in the shape that a tool's schema wants."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .schema_sample import sample

_VARIABLE = re.compile(r"\{(\w+)(?:\.\.(\w+))?\}")
_MOST_NUMBERS = 1000


def variables_of(match: re.Match[str]) -> dict[str, str]:
    """The groups of a match by number and by name; a group that took no part is empty."""
    groups = {str(number): text or "" for number, text in enumerate(match.groups(), 1)}
    return groups | {name: text or "" for name, text in match.groupdict().items()}


def fill(template: str, variables: Mapping[str, str]) -> str:
    """`template` with `{name}` and `{from..to}` replaced; what is not a variable stays."""

    def replace(found: re.Match[str]) -> str:
        name, end = found.groups()
        if name not in variables or (end is not None and end not in variables):
            return found[0]
        return variables[name] if end is None else _numbers(variables[name], variables[end])

    return _VARIABLE.sub(replace, template)


def arguments_for(template: Any, schema: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of a call: a mapping, list or JSON text of templates, fitted to the tool's `schema`."""
    properties: dict[str, Any] = schema.get("properties") or {}
    if isinstance(template, str):
        given = _object_in(fill(template, variables))
    elif isinstance(template, Sequence):
        required = [name for name in schema.get("required") or () if name in properties]
        names = required + [name for name in properties if name not in required]
        given = dict(zip(names, template, strict=False))
    else:
        given = dict(template)
    filled = {name: _fitted(_filled(value, variables), properties.get(name)) for name, value in given.items()}
    missing = [name for name in schema.get("required") or () if name not in filled]
    return filled | {name: sample(properties.get(name, {}), schema) for name in missing}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, variables)
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    if isinstance(value, dict):
        return {name: _filled(item, variables) for name, item in value.items()}
    return value


def _fitted(value: Any, schema: Any) -> Any:
    """A text as the number or truth value that the schema wants, where it can be read as one."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if not isinstance(value, str) or kind not in ("integer", "number", "boolean"):
        return value
    target = {"integer": int, "number": int | float, "boolean": bool}[kind]
    try:
        return msgspec.convert(value, target, strict=False)
    except msgspec.ValidationError:
        return value


def _object_in(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _numbers(first: str, last: str) -> str:
    try:
        start, end = int(first), int(last)
    except ValueError:
        return ""
    step = 1 if end >= start else -1
    return ", ".join(str(number) for number in range(start, end + step, step)[:_MOST_NUMBERS])
