"""Writes the tables of docs/*.md that follow from types: settings, keys of agent files, template variables.

    .venv/bin/python scripts/reference.py            write them
    .venv/bin/python scripts/reference.py --check    name the files that are out of date; exit code 1 where there are any

A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; everything around it is written by hand.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agentrt.agents import CONDITION_VARIABLES, RUN_VARIABLES, STATIC_VARIABLES, AgentSpec
from agentrt.containers import ContainerOptions, PoolSpec, Upstream
from agentrt.settings import Options

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)

Json = dict[str, Any]


def settings() -> str:
    rows = [(f"`{name}`", f"`AGENTRT_{name.upper().replace('.', '__')}`", *rest) for name, *rest in keys_of(Options)]
    return table(("setting", "variable", "value", "default", "what it does"), rows)


def agent() -> str:
    return table(("key", "value", "default", "what it does"), [(f"`{name}`", *rest) for name, *rest in keys_of(AgentSpec)])


def variables() -> str:
    told = [(f"`{name}`", "`prompt`, `context`", text) for name, text in STATIC_VARIABLES.items()]
    told += [(f"`{name}`", "`context`", text) for name, text in RUN_VARIABLES.items()]
    return table(("variable", "in", "what it is"), told)


def conditions() -> str:
    return table(("variable", "what it is"), [(f"`{name}`", text) for name, text in CONDITION_VARIABLES.items()])


def upstream() -> str:
    return table(("key", "value", "default", "what it does"), [(f"`{name}`", *rest) for name, *rest in keys_of(Upstream)])


def containers() -> str:
    told = [row for row in keys_of(ContainerOptions) if not row[0].startswith(("pools", "upstreams"))]
    return table(("key", "value", "default", "what it does"), [(f"`{name}`", *rest) for name, *rest in told])


def pool() -> str:
    return table(("key", "value", "default", "what it does"), [(f"`{name}`", *rest) for name, *rest in keys_of(PoolSpec)])


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "agent": agent,
    "variables": variables,
    "conditions": conditions,
    "upstream": upstream,
    "containers": containers,
    "pool": pool,
}


def keys_of(of: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, str]]:
    """Every key, those of mappings within dotted: name, what its value is, its default, what it does."""
    schema = msgspec.json.schema(of, schema_hook=lambda _: {"type": "string", "format": "path"})
    root: Json = msgspec.json.decode(msgspec.json.encode(schema))
    yield from walk(resolved(root, root), root, "", {})


def walk(struct: Json, root: Json, prefix: str, defaults: Json) -> Iterator[tuple[str, str, str, str]]:
    """`defaults` are those that the mapping around this one gives, where it gives any."""
    for name, field in struct["properties"].items():
        key, inside = prefix + name, struct_in(field, root)
        default = defaults.get(name, field.get("default"))
        if inside is not None and "$ref" in field:
            yield from walk(inside, root, f"{key}.", default or {})
            continue
        yield (
            key,
            kind(field, root),
            "required" if name in struct["required"] else shown(default),
            one_line(field.get("description")),
        )
        if inside is not None:
            listed = any("items" in part for part in (field, *field.get("anyOf", ())))
            yield from walk(inside, root, f"{key}[]." if listed else f"{key}.", {})


def resolved(node: Json, root: Json) -> Json:
    return root["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def struct_in(node: Json, root: Json) -> Json | None:
    """The mapping with known keys that a value is, may be, or is a list of."""
    node = resolved(node, root)
    if "properties" in node:
        return node
    inner = [*node.get("anyOf", ()), *([node["items"]] if "items" in node else [])]
    return next((found for part in inner if (found := struct_in(part, root)) is not None), None)


def kind(node: Json, root: Json) -> str:
    node = resolved(node, root)
    if "anyOf" in node:
        kinds = dict.fromkeys(kind(part, root) for part in node["anyOf"] if part != {"type": "null"})
        return " or ".join(kinds)
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    match node.get("type"):
        case "array":
            return f"list of {kind(node['items'], root)}"
        case "object":
            return "mapping"
        case "integer" | "number" as number:
            return ("whole number" if number == "integer" else "number") + limits(node)
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "path" if node.get("format") == "path" else "text"
        case _:
            return "anything"


def limits(node: Json) -> str:
    words = (("minimum", "from"), ("exclusiveMinimum", "over"), ("maximum", "to"))
    said = [f"{word} {node[name]:.12g}" for name, word in words if name in node]
    return f" {' '.join(said)}" if said else ""


def shown(default: Any) -> str:
    if default in (None, "", [], {}):
        return ""
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def written(text: str) -> str:
    """`text` with every block as it should be; KeyError for a name that is no block."""
    return BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]]() + found[3], text)


def main(arguments: Sequence[str]) -> int:
    stale = [(file, text) for file in sorted(DOCS.glob("*.md")) if (text := written(file.read_text())) != file.read_text()]
    for file, text in stale:
        if "--check" in arguments:
            print(f"docs/{file.name} is out of date: .venv/bin/python scripts/reference.py")
        else:
            file.write_text(text)
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
