"""A wanted form of the answer, in words, for models that cannot be held to it while they are offered tools. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec


def form_in_words(response_format: Any) -> str:
    """An instruction that asks for what OpenAI's `response_format` would enforce; empty where it asks for nothing."""
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
            return (
                "When you give your final answer, answer with one JSON value and nothing else, no code fence. "
                f"It must be valid under this JSON Schema: {msgspec.json.encode(schema).decode()}"
            )
        case {"type": "json_schema" | "json_object"}:
            return "When you give your final answer, answer with one JSON object and nothing else, no code fence."
        case _:
            return ""
