"""The files that ship: the default agent, the example of every key, and the schema for editors."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml

from agentrt.agents import CONDITION_VARIABLES, DEFAULT_CHAIN, RUN_VARIABLES, STATIC_VARIABLES, AgentSpec, agent_schema, check
from agentrt.configs import parse

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "configs" / "agents" / "default.yaml"
KITCHEN_SINK = ROOT / "examples" / "agents" / "kitchen-sink.yaml"
SCHEMA = ROOT / "configs" / "agents" / "agent.schema.json"


def loaded(file: Path) -> AgentSpec:
    document = parse(file.read_bytes(), AgentSpec, file.name)
    document.require(check)
    return document.value


def test_the_default_agent_is_called_agent_too_and_may_use_every_tool() -> None:
    spec = loaded(DEFAULT)
    assert (spec.name, spec.aliases, spec.chain) == ("default", ("agent",), DEFAULT_CHAIN)
    assert spec.rule_for("clock") and spec.rule_for("echo__add")
    assert "user" not in spec.session.sources


def _structs(type_: Any) -> set[type]:
    """A Struct and every Struct that it may hold."""
    found: set[type] = set()

    def visit(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType) and info.cls not in found:
            found.add(info.cls)
            for field in info.fields:
                visit(field.type)
        for name in ("type", "item_type", "value_type"):
            if inner := getattr(info, name, None):
                visit(inner)
        for inner in getattr(info, "types", ()):
            visit(inner)

    visit(msgspec.inspect.type_info(type_))
    return found


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def test_the_kitchen_sink_loads_and_shows_every_key() -> None:
    loaded(KITCHEN_SINK)
    shown = _keys(yaml.safe_load(KITCHEN_SINK.read_text()))
    structs = _structs(AgentSpec)
    assert len(structs) == 10
    assert {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)} <= shown


def test_the_kitchen_sink_explains_every_variable() -> None:
    text = KITCHEN_SINK.read_text()
    assert [name for name in [*STATIC_VARIABLES, *RUN_VARIABLES] if f"\n#   {name}" not in text] == []
    assert [name for name, told in CONDITION_VARIABLES.items() if f"\n    #   {name:<8}  {told}\n" not in text] == []


def test_the_published_schema_is_the_code() -> None:
    """On failure: agentrt config schema > configs/agents/agent.schema.json"""
    assert json.loads(SCHEMA.read_text()) == agent_schema()


def test_every_key_has_a_description_and_nothing_names_a_host() -> None:
    schema = agent_schema()
    bare = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, value in definition["properties"].items()
        if "description" not in value and name != "Example"
    ]
    assert bare == []
    assert "://" not in schema["$id"]


@pytest.mark.parametrize("file", [DEFAULT, KITCHEN_SINK], ids=lambda file: file.stem)
def test_editors_find_the_schema_and_agree_with_the_loader(file: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == SCHEMA
    schema = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    assert schema.is_valid(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    "bad", [{}, {"name": "a", "modle": "x/y"}, {"name": "a", "model": "gpt"}, {"name": "a", "tools": ["a.b"]}]
)
def test_editors_see_mistakes_before_the_server_does(bad: dict[str, Any]) -> None:
    assert not jsonschema_rs.validator_for(agent_schema()).is_valid(bad)
