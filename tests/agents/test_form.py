"""The form of an answer: what has it, and what is said of what has not."""

from typing import Any

import pytest

from agentrt.agents import BadForm, form_of

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "years": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city"],
}


def wanted(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}


@pytest.mark.parametrize("free", [None, {"type": "text"}, {}])
def test_free_text_has_no_form(free: Any) -> None:
    assert form_of(free) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"city": "Rome"}', None),
        ('{"city": 5}', "At $.city:"),
        ('{"city": "Rome", "years": [1, "x"]}', "At $.years[1]:"),
        ("{}", '"city" is a required property'),
        ("Rome.", "It is not JSON"),
        ('{"city": "Ro', "It is not JSON"),
        (" \n", "It is empty"),
        ("[" * 100_000, "It is not JSON"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, fault: str | None) -> None:
    form = form_of(wanted(CITY))
    assert form is not None
    found = form.fault_in(text)
    assert found is None if fault is None else found is not None and fault in found


@pytest.mark.parametrize(
    ("text", "fault"), [("{}", None), ("[1]", "a list"), ('"x"', "a string"), ("null", "null"), ("3", "a number")]
)
def test_without_a_schema_an_object_is_wanted(text: str, fault: str | None) -> None:
    form = form_of({"type": "json_object"})
    assert form is not None
    found = form.fault_in(text)
    assert (found is None) == (fault is None) and (fault or "") in (found or "")


def test_what_stands_in_a_code_fence_counts() -> None:
    form = form_of({"type": "json_object"})
    assert form is not None
    assert form.found_in('```json\n{"a": 1}\n```') == '{"a": 1}'
    assert form.found_in('{"a": 1}') == '{"a": 1}'
    assert form.found_in('Here: {"a": 1}') is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nope"},
        {"properties": 5},
        {"$ref": "#/$defs/none"},
        {"$ref": "http://127.0.0.1:9/other.json"},
        {"$ref": "file:///etc/passwd"},
        {"$schema": "http://127.0.0.1:9/meta"},
        {"$id": "http://127.0.0.1:9/a", "$ref": "b"},
        {"pattern": "("},
    ],
)
def test_a_schema_that_is_none_or_points_elsewhere_is_refused_and_nobody_is_asked_for_it(schema: Any) -> None:
    with pytest.raises(BadForm):
        form_of(wanted(schema))
