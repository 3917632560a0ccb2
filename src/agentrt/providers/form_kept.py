"""Who keeps to a wanted form of the answer by itself, and who has no parameter for it. Pure."""

from typing import Any

from .abilities import Abilities
from .anthropic_models import abilities as of_claude
from .anthropic_schema import closed
from .client import ModelAsk
from .entry import ProviderEntry
from .gemini_config import answers_in_form_with_tools
from .wires import WIRES, Wire

# What every grammar of a provider keeps to; the rest of JSON Schema some of them overlook.
_PLAIN = frozenset(
    {"type", "properties", "required", "items", "enum", "const", "title", "description", "anyOf", "$ref", "$defs"}
    | {"additionalProperties"}
)
_OPENAI: frozenset[Wire] = frozenset({"openai", "openai_responses"})


def knows_forms(wire: Wire, known: Abilities) -> bool:
    """False for a model that is known to have no parameter for the form of its answer, and would refuse one."""
    return wire not in _OPENAI or known.structured_output is not False


def keeps_form(entry: ProviderEntry, known: Abilities, ask: ModelAsk) -> bool:
    """Whether the provider makes sure that an answer to `ask` has the form: then its text may be shown as it comes."""
    match ask.parameters.get("response_format"):
        case {"type": "json_schema", "json_schema": {"schema": dict(schema), **more}}:
            return _keeps_schema(entry, known, ask, schema, more.get("strict") is True)
        case {"type": "json_schema" | "json_object"}:
            return entry.wire == "offline" or (entry.wire == "ollama" and not _tools(ask)) or _is_openai(entry, known)
        case _:
            return True


def _keeps_schema(entry: ProviderEntry, known: Abilities, ask: ModelAsk, schema: dict[str, Any], strict: bool) -> bool:
    match entry.wire:
        case "openai" | "openai_responses":
            return strict and _is_openai(entry, known)
        case "anthropic":
            return of_claude(ask.model).native_schema and closed(schema) == schema
        case "gemini":
            return (not _tools(ask) or answers_in_form_with_tools(ask.model)) and _is_plain(schema)
        case "ollama":
            return not _tools(ask) and _is_plain(schema)
        case _:
            return False


def _tools(ask: ModelAsk) -> bool:
    return bool(ask.tools or ask.caller_tools)


def _is_openai(entry: ProviderEntry, known: Abilities) -> bool:
    """Whether this is OpenAI itself: other servers take the parameter, and not all of them heed it."""
    return entry.wire in _OPENAI and entry.url == WIRES["openai"].url and known.structured_output is True


def _is_plain(schema: Any) -> bool:
    match schema:
        case bool():
            return True
        case dict():
            below = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
            below += [schema[name] for name in ("items", "additionalProperties") if name in schema]
            return schema.keys() <= _PLAIN and all(map(_is_plain, below))
        case _:
            return False
