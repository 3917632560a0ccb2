"""JSON schemas as Anthropic's grammar takes them: every object closed, other constraints told in words. Pure."""

from typing import Any

import msgspec

_Schema = dict[str, Any]

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)
_KEPT = frozenset({"type", "title", "description", "enum", "const", "$ref", "default"})
_SILENT = frozenset({"$schema", "$id", "additionalProperties"})
_TOP_LEVEL_CHOICES = ("anyOf", "oneOf", "allOf")


def closed(schema: _Schema) -> _Schema:
    """A copy in which only what the grammar knows is left; the rest moves into descriptions, for the model to heed."""
    out: _Schema = {}
    told: _Schema = {}
    for name, value in schema.items():
        if not _take(name, value, out) and name not in _SILENT:
            told[name] = value
    if out.get("type") == "object" or "properties" in out:
        out["type"] = "object"
        out.setdefault("properties", {})
        out["additionalProperties"] = False
    if told:
        words = ", ".join(f"{name}: {msgspec.json.encode(value).decode()}" for name, value in told.items())
        out["description"] = "\n\n".join(filter(None, (out.get("description"), f"{{{words}}}")))
    return out


def tool_input(schema: _Schema | None) -> tuple[_Schema, str]:
    """The schema of a tool's input, and what has to be told of it in words: at its top no choice between schemas is taken."""
    schema = {"properties": {}} if not schema else dict(schema)
    choices = {name: schema.pop(name) for name in _TOP_LEVEL_CHOICES if name in schema}
    schema["type"] = "object"
    return schema, f"Its input matches {msgspec.json.encode(choices).decode()}" if choices else ""


def _take(name: str, value: Any, out: _Schema) -> bool:
    """Put one keyword into `out`; False where the grammar has no place for it."""
    match name, value:
        case (("properties" | "$defs" | "definitions"), dict()):
            out[name] = {key: _sub(each) for key, each in value.items()}
        case (("anyOf" | "oneOf"), list()):
            out["anyOf"] = [_sub(each) for each in value]
        case "allOf", list():
            out[name] = [_sub(each) for each in value]
        case "items", dict():
            out[name] = closed(value)
        case "required", list():
            out[name] = value
        case "format", _ if value in _FORMATS:
            out[name] = value
        case "minItems", 0 | 1:
            out[name] = value
        case _ if name in _KEPT:
            out[name] = value
        case _:
            return False
    return True


def _sub(schema: Any) -> Any:
    return closed(schema) if isinstance(schema, dict) else schema
