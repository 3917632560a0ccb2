"""What servers say of their tools, made usable: servers that are not quite right are the rule, not the exception."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from agentrt.agents import Effect

_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


def repaired(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A `tools/list` result in which every tool that has a name is valid, in every revision of the protocol.

    Tools that run as tasks only are left out, because we make none; and so are output schemas: results are handed on as
    they are, so nobody checks against them.
    """
    tools = raw.get("tools")
    kept = [_tool(tool) for tool in tools if _named(tool) and not _only_as_a_task(tool)] if isinstance(tools, list) else []
    cursor = raw.get("nextCursor")
    page = {"tools": kept, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    return {**page, "nextCursor": cursor} if isinstance(cursor, str) and cursor else page


def effect_of(tool: str, annotations: Mapping[str, Any], overrides: Mapping[str, Effect]) -> Effect:
    """What calling `tool` does: as the operator says, else as the server hints, else the worst."""
    for pattern, effect in overrides.items():
        if fnmatchcase(tool, pattern):
            return effect
    if annotations.get("readOnlyHint"):
        return "read"
    return "idempotent" if annotations.get("idempotentHint") else "unsafe"


def _named(tool: object) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("name"), str) and bool(tool["name"])


def _only_as_a_task(tool: dict[str, Any]) -> bool:
    execution = tool.get("execution")
    return isinstance(execution, dict) and execution.get("taskSupport") == "required"


def _tool(raw: dict[str, Any]) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": raw["name"], "inputSchema": _schema(raw.get("inputSchema"))}
    for key in ("title", "description"):
        if isinstance(raw.get(key), str):
            tool[key] = raw[key]
    hints = raw.get("annotations")
    if isinstance(hints, dict):
        told = {key: hints[key] for key in _HINTS if isinstance(hints.get(key), bool)}
        title = {"title": hints["title"]} if isinstance(hints.get("title"), str) else {}
        tool["annotations"] = told | title
    return tool


def _schema(raw: object) -> dict[str, Any]:
    """An object schema: what the server gave, with what models and validators insist on."""
    if not isinstance(raw, dict):
        return {"type": "object", "properties": {}}
    schema = {key: value for key, value in raw.items() if value is not None}
    for key in ("properties", "$defs", "definitions"):
        if key in schema and not isinstance(schema[key], dict):
            del schema[key]
    if properties := schema.get("properties"):
        schema["properties"] = {name: told if isinstance(told, dict | bool) else {} for name, told in properties.items()}
    if "required" in schema and not _strings(schema["required"]):
        del schema["required"]
    if "$schema" in schema and not isinstance(schema["$schema"], str):
        del schema["$schema"]
    return {"properties": {}, **schema, "type": "object"}


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
