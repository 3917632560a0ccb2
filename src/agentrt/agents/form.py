"""The form that `response_format` asks of an answer, and whether an answer has it. Pure.

The library is imported when the first schema is met: who asks for none does not pay for it.
"""

import re
from typing import Any

import msgspec

_FENCED = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_MOST = 300


class BadForm(Exception):
    """The schema that an answer is to have can be no schema: it is malformed, or refers to one that is not in it."""


class Form:
    """JSON, and valid under `schema`, where there is one; without one, an object. BadForm for a schema that is none."""

    def __init__(self, schema: dict[str, Any] | None) -> None:
        self.schema = schema
        self._validator = None if schema is None else _validator(schema)

    def fault_in(self, text: str) -> str | None:
        """What keeps `text` from having the form, as a sentence; None where it has it."""
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
            return f"It is not JSON: {exc}." if text.strip() else "It is empty."
        if self._validator is None:
            return None if isinstance(value, dict) else f"It is {_kind(value)}, not an object."
        first = next(self._validator.iter_errors(value), None)
        if first is None:
            return None
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first.instance_path)
        return f"At ${place}: {first.message[:_MOST]}."

    def found_in(self, text: str) -> str | None:
        """The part of `text` that has the form: all of it, or what is in its code fence; None where neither has."""
        if self.fault_in(text) is None:
            return text
        fenced = _FENCED.match(text)
        return fenced[1] if fenced is not None and self.fault_in(fenced[1]) is None else None


def form_of(response_format: Any) -> Form | None:
    """The form that OpenAI's `response_format` asks for; None for free text. BadForm for a schema that is none."""
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict()}}:
            return Form(response_format["json_schema"]["schema"])
        case {"type": "json_schema" | "json_object"}:
            return Form(None)
        case _:
            return None


def _validator(schema: dict[str, Any]) -> Any:
    import jsonschema_rs

    try:
        # offline: a schema of a caller's must not make this server ask others for what it refers to
        return jsonschema_rs.validator_for(schema, offline=True)
    except jsonschema_rs.ReferencingError as exc:
        raise BadForm("it refers to a schema that it does not hold, and others are not asked for") from exc
    except (jsonschema_rs.ValidationError, ValueError) as exc:
        raise BadForm(str(getattr(exc, "message", exc)).strip()[:_MOST]) from exc


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "a number"
