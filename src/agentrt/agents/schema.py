"""The published JSON Schema of agent files, for editors."""

from inspect import cleandoc
from typing import Any

import msgspec

from .spec import AgentSpec


def agent_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of an agent file, with a description of every key."""
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(AgentSpec)))  # as JSON has it: no tuples
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:agentrt:agent",
        "title": "agentrt agent",
        **schema,
    }
