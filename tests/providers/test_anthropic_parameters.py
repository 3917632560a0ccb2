"""What a model is asked for beside the conversation: every parameter in Anthropic's words, where the model takes it."""

from typing import Any

import msgspec
import pytest

from agentrt.messages import Message, Text, Thinking, ToolCall, ToolResult, says
from agentrt.providers import ModelAsk
from agentrt.providers.anthropic_models import abilities
from agentrt.providers.anthropic_request import request_body
from agentrt.providers.anthropic_schema import closed
from agentrt.tools import ToolDef

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
ECHO = ToolDef(id="echo__echo", description="Says it again.", schema=SCHEMA)
NEWEST, OLD = "claude-sonnet-5-5", "claude-sonnet-4-5"
THOUGHT = msgspec.Raw(b'{"type":"thinking","thinking":"hm","signature":"sig=="}')
CALLED = (
    says("user", "Say hi"),
    Message("assistant", (Text("Sure."), ToolCall("call_1", "echo__echo"))),
    Message("tool", (ToolResult("call_1", (Text("hi"),)),)),
)


def body_of(version: str = "2023-06-01", thinking: bool = True, **ask: Any) -> dict[str, Any]:
    asked = ModelAsk(**{"model": OLD, "messages": (says("user", "Hi"),), **ask})
    return msgspec.json.decode(request_body(asked, "anthropic", version, thinking=thinking))


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        (OLD, {"temperature": 0.5}, {"temperature": 0.5}),
        (OLD, {"temperature": 1.5, "top_p": 0.9}, {"temperature": 1}),
        (OLD, {"top_p": 0.9}, {"top_p": 0.9}),
        ("claude-3-5-haiku-20241022", {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ("claude-opus-4-7", {"temperature": 0.5, "top_p": 0.9}, {}),
        (NEWEST, {"temperature": 0.5}, {}),
        ("some-other-model", {"temperature": 0.5, "top_k": 3}, {"temperature": 0.5, "top_k": 3}),
        (OLD, {"temperature": 0.5, "reasoning_effort": "low"}, {}),
    ],
)
def test_sampling_is_only_sent_where_the_model_takes_it(model: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    body = body_of(model=model, parameters=given)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == expected


def test_newer_versions_of_the_api_take_no_sampling_from_anyone() -> None:
    assert "temperature" not in body_of("2026-10-21", parameters={"temperature": 0.5})


SHOWN = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "output"),
    [
        ("claude-3-5-haiku-20241022", "high", None, None),
        (OLD, None, None, None),
        (OLD, "none", None, None),
        (OLD, "low", {"type": "enabled", "budget_tokens": 2048}, None),
        (OLD, "xhigh", {"type": "enabled", "budget_tokens": 24_576}, None),
        ("claude-opus-4-6", None, None, None),
        ("claude-opus-4-6", "xhigh", SHOWN, {"effort": "high"}),
        ("claude-opus-4-7", "xhigh", SHOWN, {"effort": "xhigh"}),
        ("claude-opus-4-7", "none", None, None),
        ("claude-opus-5", None, SHOWN, None),
        ("claude-opus-5", "none", {"type": "disabled"}, None),
        ("claude-haiku-5-5", "none", {"type": "disabled"}, None),
        (NEWEST, None, SHOWN, None),
        (NEWEST, "minimal", SHOWN, {"effort": "low"}),
        (NEWEST, "none", {"type": "between_tools"}, None),
        ("claude-opus-5-5", "none", None, {"effort": "low"}),
        ("claude-fable-5-1", "high", SHOWN, {"effort": "high"}),
    ],
)
def test_effort_is_asked_for_as_the_model_takes_it(model: str, effort: Any, thinking: Any, output: Any) -> None:
    body = body_of(model=model, parameters={"reasoning_effort": effort})
    assert (body.get("thinking"), body.get("output_config")) == (thinking, output)


def test_a_budget_leaves_room_for_the_answer() -> None:
    def budget(limit: int) -> Any:
        return body_of(parameters={"reasoning_effort": "high", "max_tokens": limit}).get("thinking")

    assert budget(1000) is None
    assert budget(4000) == {"type": "enabled", "budget_tokens": 2000}
    assert budget(50_000) == {"type": "enabled", "budget_tokens": 16_384}


def test_thinking_stands_back_where_a_call_is_forced() -> None:
    asked = {"reasoning_effort": "max", "tool_choice": "required"}
    body = body_of(model="claude-opus-5", tools=(ECHO,), parameters=asked)
    assert (body["thinking"], body["output_config"]) == ({"type": "disabled"}, {"effort": "high"})
    assert "thinking" not in body_of(tools=(ECHO,), parameters=asked)


def test_a_budget_is_not_asked_for_in_the_middle_of_a_turn_that_began_without_thinking() -> None:
    thought = Message("assistant", (Thinking("hm", "anthropic", THOUGHT), *CALLED[1].parts))
    for messages, thinks in (
        (CALLED, False),
        ((*CALLED, says("user", "new")), False),
        ((CALLED[0], thought, CALLED[2]), True),
        ((*CALLED, says("assistant", "hi"), says("user", "new")), True),
        ((*CALLED, says("assistant", "It sa")), False),
    ):
        assert ("thinking" in body_of(messages=messages, parameters={"reasoning_effort": "low"})) is thinks


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_tokens": 6}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "priority"}, {"service_tier": "auto"}),
        ({"safety_identifier": "h4sh"}, {"metadata": {"user_id": "h4sh"}}),
        ({"seed": 1, "verbosity": "low", "presence_penalty": 1}, {}),
    ],
)
def test_other_parameters_have_their_own_names(given: dict[str, Any], expected: dict[str, Any]) -> None:
    plain = body_of()
    assert body_of(parameters=given) == plain | expected


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-sonnet-20241022", 8192),
        ("claude-opus-4-20250514", 16_000),
        ("claude-sonnet-4-5-20250929", 64_000),
        ("claude-haiku-5-5", 128_000),
        ("anthropic.claude-opus-4-7-v1:0", 128_000),
        ("kimi-k3", 8192),
    ],
)
def test_a_limit_is_always_sent(model: str, most: int) -> None:
    assert body_of(model=model)["max_tokens"] == most


def test_names_tell_versions_apart() -> None:
    assert abilities("claude-opus-4-20250514").thinking == "budget"
    assert abilities("claude-opus-4-6@20260101").thinking == "adaptive"
    assert abilities("claude-next").thinking == "adaptive"
    assert [abilities(name).forced_tools for name in ("claude-fable-5", "claude-fable-5-1", "claude-haiku-5-5")] == [
        True,
        False,
        True,
    ]


def test_the_users_name_is_sent_unless_it_names_a_person() -> None:
    assert body_of(user="ann")["metadata"] == {"user_id": "ann"}
    for personal in ("ann@example.com", "+49 170 1234567", "x" * 300):
        assert len(body_of(user=personal)["metadata"]["user_id"]) == 64


WANTED = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}


def test_a_wanted_schema_is_asked_for_natively_where_the_model_can() -> None:
    form = {"type": "json_schema", "schema": SCHEMA | {"additionalProperties": False}}
    assert body_of(parameters={"response_format": WANTED})["output_config"] == {"format": form}
    both = body_of(model=NEWEST, parameters={"response_format": WANTED, "reasoning_effort": "high"}, tools=(ECHO,))
    assert both["output_config"] == {"effort": "high", "format": form}
    assert "system" not in both


def test_a_wanted_form_is_asked_for_in_words_where_there_is_no_other_way() -> None:
    old = body_of(model="claude-sonnet-4-20250514", system=("Be brief.",), parameters={"response_format": WANTED})
    assert "output_config" not in old
    assert '"required":["text"]' in old["system"][1]["text"]
    loose = body_of(parameters={"response_format": {"type": "json_object"}})
    assert "JSON object" in loose["system"][0]["text"]
    assert "system" not in body_of(parameters={"response_format": {"type": "text"}})


def test_a_schema_is_closed_and_what_the_grammar_does_not_know_is_told() -> None:
    assert closed(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 1, "description": "A number."},
                "at": {"type": "string", "format": "date"},
                "code": {"type": "string", "format": "isbn", "pattern": "x+"},
                "list": {"type": "array", "items": {"properties": {}}, "minItems": 3},
                "either": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/d"}]},
            },
            "required": ["n"],
            "$defs": {"d": {"type": "object", "additionalProperties": True}},
        }
    ) == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "A number.\n\n{minimum: 1}"},
            "at": {"type": "string", "format": "date"},
            "code": {"type": "string", "description": '{format: "isbn", pattern: "x+"}'},
            "list": {
                "type": "array",
                "items": {"properties": {}, "type": "object", "additionalProperties": False},
                "description": "{minItems: 3}",
            },
            "either": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/d"}]},
        },
        "required": ["n"],
        "$defs": {"d": {"type": "object", "properties": {}, "additionalProperties": False}},
        "additionalProperties": False,
    }
