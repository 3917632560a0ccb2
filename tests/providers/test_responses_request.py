"""What the Responses API is asked."""

import json
from typing import Any

import msgspec
import pytest

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Part, Text, Thinking, ToolCall, ToolResult
from agentrt.messages import says as said
from agentrt.providers import ModelAsk, ModelFailure
from agentrt.providers.responses_request import Extent, request_body
from agentrt.tools import ToolDef
from upstreams.responses_upstream import ENCRYPTED, reasoning

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
REASONING = reasoning("Hm.")
LABEL = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "phase": "commentary"}
OF_CALL = {"id": "fc_1", "call_id": "call_theirs", "status": "completed"}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def body(*messages: Message, extent: Extent | None = None, model: str = "gpt-5.5", **ask: Any) -> dict[str, Any]:
    asked = ModelAsk(model=model, messages=messages or (said("user", "Hi"),), **ask)
    return json.loads(request_body(asked, "acme", extent or Extent()))


def turn(provider: str = "acme") -> tuple[Message, ...]:
    parts: tuple[Part, ...] = (
        Thinking("Hm.", provider, raw(REASONING)),
        Text("I look."),
        Thinking("", provider, raw(LABEL)),
        ToolCall("call_ours000", "echo", '{"text":  "a"}', raw(OF_CALL), provider),
    )
    return said("user", "Hi"), Message("assistant", parts), Message("tool", (ToolResult("call_ours000", (Text("a"),)),))


def test_nothing_is_stored_and_reasoning_comes_encrypted() -> None:
    assert body(system=("Be brief.", "Today is Monday."), user="ann") == {
        "model": "gpt-5.5",
        "instructions": "Be brief.\n\nToday is Monday.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "user": "ann",
        "store": False,
        "stream": True,
    }


def test_its_own_items_go_back_as_they_came_with_its_own_ids() -> None:
    assert body(*turn())["input"][1:] == [
        REASONING,
        LABEL | {"content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
        {"type": "function_call", "name": "echo", "arguments": '{"text":  "a"}', **OF_CALL},
        {"type": "function_call_output", "call_id": "call_theirs", "output": "a"},
    ]


def test_another_provider_gets_the_words_alone() -> None:
    assert body(*turn("other"))["input"][1:] == [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "call_ours000", "name": "echo", "arguments": '{"text":  "a"}'},
        {"type": "function_call_output", "call_id": "call_ours000", "output": "a"},
    ]


def test_without_reasoning_no_id_leads_to_it() -> None:
    items = body(*turn(), extent=Extent(reasoning=False))["input"][1:]
    assert [item["type"] for item in items] == ["message", "function_call", "function_call_output"]
    assert not any("id" in item for item in items)
    assert (items[0]["phase"], items[1]["call_id"]) == ("commentary", "call_theirs")
    assert ENCRYPTED not in json.dumps(items)


def test_items_of_a_kind_that_is_not_known_go_back_too() -> None:
    searched = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    assert body(Message("assistant", (Thinking("", "acme", raw(searched)),)))["input"] == [searched]


@pytest.mark.parametrize(
    ("part", "item"),
    [
        (Image(url="https://a.example/a.png"), {"type": "input_image", "image_url": "https://a.example/a.png", "detail": "auto"}),
        (
            Image(url="data:image/png;base64,AA==", detail="low"),
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        ),
        (
            File(data="data:application/pdf;base64,AA==", name="a.pdf"),
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        ),
        (File(data="https://a.example/a.pdf"), {"type": "input_file", "file_url": "https://a.example/a.pdf"}),
        (
            File(data="data:image/png;base64,AA=="),
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        ),
    ],
)
def test_images_and_files_are_shown_by_people_and_by_tools(part: Any, item: dict[str, Any]) -> None:
    given = body(Message("user", (part,)), Message("tool", (ToolResult("c", (Text("see"), part), is_error=True),)))["input"]
    assert given[0]["content"] == [item]
    assert given[1]["output"] == [{"type": "input_text", "text": "Error:"}, {"type": "input_text", "text": "see"}, item]


def test_sound_is_refused_before_it_costs_anything() -> None:
    with pytest.raises(ModelFailure, match="acme takes no files of type audio/wav") as caught:
        body(Message("user", (File(data="data:audio/wav;base64,AA=="),)))
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)


@pytest.mark.parametrize(
    ("result", "output"),
    [
        (ToolResult("c", (Text("a"), Text("b"))), "a\nb"),
        (ToolResult("c", (Text("no"),), is_error=True), "Error: no"),
        (ToolResult("c", structured={"a": 1}), '{"a":1}'),
        (ToolResult("c"), ""),
    ],
)
def test_results_in_words_are_one_text(result: ToolResult, output: str) -> None:
    assert body(Message("tool", (result,)))["input"] == [
        {"type": "function_call_output", "call_id": "c", "output": output},
    ]


def test_later_instructions_have_the_role_that_the_model_knows() -> None:
    messages = (said("user", "Hi"), said("system", "Now in French."))
    assert [body(*messages, model=model)["input"][1]["role"] for model in ("gpt-5.5", "o3", "gpt-4o", "llama")] == [
        "developer",
        "developer",
        "system",
        "system",
    ]


def test_parameters_have_the_names_of_this_api() -> None:
    schema = {"name": "x", "schema": SCHEMA, "strict": True, "description": None}
    asked = body(
        parameters={
            "max_tokens": 50,
            "reasoning_effort": "low",
            "verbosity": "high",
            "temperature": 0.5,
            "top_p": None,
            "service_tier": "flex",
            "prompt_cache_key": "k",
            "safety_identifier": "s",
            "seed": 7,
            "store": True,
            "response_format": {"type": "json_schema", "json_schema": schema},
            "truncation": "auto",
            "include": ["message.output_text.logprobs"],
        }
    )
    del asked["input"]
    assert asked == {
        "model": "gpt-5.5",
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}, "verbosity": "high"},
        "temperature": 0.5,
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "truncation": "auto",
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }


def test_a_json_object_is_asked_for_and_plain_text_is_not() -> None:
    assert body(parameters={"response_format": {"type": "json_object"}})["text"] == {"format": {"type": "json_object"}}
    assert "text" not in body(parameters={"response_format": {"type": "text"}})


def test_a_stop_text_cannot_be_had_and_is_no_silent_loss() -> None:
    with pytest.raises(ModelFailure, match="no 'stop'"):
        body(parameters={"stop": "END"})


@pytest.mark.parametrize(
    ("model", "effort", "reasoning", "encrypted"),
    [
        ("gpt-5.5", None, {"summary": "auto"}, True),
        ("gpt-5.5", "none", {"effort": "none"}, True),
        ("gpt-4o", None, None, False),
        ("openai/gpt-4.1-mini", None, None, False),
        ("gpt-oss-120b", None, None, True),
        ("gpt-oss-120b", "high", {"effort": "high", "summary": "auto"}, True),
    ],
)
def test_reasoning_is_asked_of_those_who_reason(model: str, effort: str | None, reasoning: Any, encrypted: bool) -> None:
    asked = body(model=model, parameters={"reasoning_effort": effort})
    assert asked.get("reasoning") == reasoning
    assert ("include" in asked) is encrypted


def test_what_an_account_does_not_have_is_left_out() -> None:
    asked = body(extent=Extent(summary=False, encrypted=False))
    assert "reasoning" not in asked
    assert "include" not in asked


TOOLS: dict[str, Any] = {
    "tools": (ToolDef(id="echo", description="Says it again.", schema=SCHEMA),),
    "caller_tools": (CallerTool(name="lookup", parameters=SCHEMA, strict=True), CallerTool(name="now")),
}


def test_functions_are_strict_only_where_that_was_said() -> None:
    assert body(**TOOLS)["tools"] == [
        {"type": "function", "name": "echo", "description": "Says it again.", "parameters": SCHEMA, "strict": False},
        {"type": "function", "name": "lookup", "parameters": SCHEMA, "strict": True},
        {"type": "function", "name": "now", "parameters": {"type": "object", "properties": {}}, "strict": False},
    ]


@pytest.mark.parametrize(
    ("choice", "same"),
    [
        ("required", "required"),
        ({"type": "function", "function": {"name": "echo"}}, {"type": "function", "name": "echo"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "echo"}}]},
            },
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "echo"}]},
        ),
    ],
)
def test_a_choice_goes_with_tools_and_only_with_them(choice: Any, same: Any) -> None:
    chosen = {"tool_choice": choice, "parallel_tool_calls": False}
    asked = body(parameters=chosen, **TOOLS)
    assert (asked["tool_choice"], asked["parallel_tool_calls"]) == (same, False)
    assert not {"tool_choice", "parallel_tool_calls", "tools"} & body(parameters=chosen).keys()


def test_the_beginning_stays_the_same_from_turn_to_turn() -> None:
    first, *rest = turn()
    before = request_body(ModelAsk(model="gpt-5.5", system=("Be brief.",), messages=(first,)), "acme")
    after = request_body(ModelAsk(model="gpt-5.5", system=("Be brief.",), messages=(first, *rest)), "acme")
    assert after.startswith(before.removesuffix(b"]}"))
