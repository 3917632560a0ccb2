"""The smallest value that a JSON Schema accepts, as far as one can be found without searching."""

from collections.abc import Mapping
from math import ceil
from typing import Any

_FORMATS = {
    "date-time": "2000-01-01T00:00:00Z",
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "email": "nobody@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "example.com",
}
_DEEPEST = 32


def sample(schema: Any, root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """A small value valid under `schema`; references are looked up in `root`. Patterns are not solved."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if given := _given(schema):
        return given[0]
    match _kind(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return [sample(schema.get("items", {}), root, depth + 1) for _ in range(schema.get("minItems", 0))]
        case kind:
            return _scalar(kind, schema)


def _given(schema: Mapping[str, Any]) -> list[Any]:
    """Values that the schema itself names."""
    named = [schema[key] for key in ("const", "default") if key in schema]
    return named or schema.get("enum") or schema.get("examples") or []


def _scalar(kind: str | None, schema: Mapping[str, Any]) -> Any:
    match kind:
        case "string":
            form = schema.get("format", "")
            return _FORMATS.get(form) or "text".ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return False
        case _:
            return None


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without references and alternatives: the first alternative, and all that must hold together, in one schema."""
    for _ in range(_DEEPEST):
        if isinstance(ref := schema.get("$ref"), str):
            schema = _at(ref, root) | {key: value for key, value in schema.items() if key != "$ref"}
        elif choices := schema.get("anyOf") or schema.get("oneOf"):
            rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
            schema = _merged(choices[0], rest)
        elif parts := schema.get("allOf"):
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            for part in parts:
                rest = _merged(_resolved(part, root), rest)
            schema = rest
        else:
            break
    return schema


def _merged(part: Any, rest: Mapping[str, Any]) -> dict[str, Any]:
    out = {**(part if isinstance(part, Mapping) else {}), **rest}
    for key in ("properties", "required"):
        a, b = (part or {}).get(key), rest.get(key)
        if a and b:
            out[key] = {**a, **b} if key == "properties" else [*a, *b]
    return out


def _at(ref: str, root: Mapping[str, Any]) -> dict[str, Any]:
    place: Any = root
    for name in ref.removeprefix("#").strip("/").split("/") if ref != "#" else ():
        place = place.get(name.replace("~1", "/").replace("~0", "~"), {}) if isinstance(place, Mapping) else {}
    return dict(place) if isinstance(place, Mapping) else {}


def _kind(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind is None and "properties" in schema:
        return "object"
    return kind


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    return {name: sample(properties.get(name, {}), root, depth + 1) for name in schema.get("required") or ()}


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    least, most = schema.get("minimum"), schema.get("maximum")
    if (above := schema.get("exclusiveMinimum")) is not None:
        least = above + 1 if whole else above + 0.5
    if (below := schema.get("exclusiveMaximum")) is not None:
        most = below - 1 if whole else below - 0.5
    value = least if least is not None else min(0, most) if most is not None else 0
    if step := schema.get("multipleOf"):
        value = ceil(value / step) * step
    return ceil(value) if whole else value
