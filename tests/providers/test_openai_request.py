from typing import Any

import msgspec
import pytest

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, says
from agentrt.providers import ModelAsk
from agentrt.providers.openai_request import request_body
from agentrt.tools import ToolDef

ECHO = ToolDef(
    id="echo__echo", description="Says it again.", schema={"type": "object", "properties": {"text": {"type": "string"}}}
)


def body_of(**ask: Any) -> dict[str, Any]:
    return msgspec.json.decode(request_body(ModelAsk(**{"model": "gpt-4o", **ask})))


def sent(*messages: Message, **ask: Any) -> list[dict[str, Any]]:
    return body_of(messages=messages, **ask)["messages"]


def test_the_smallest_request_is_a_stream_with_usage() -> None:
    assert body_of(messages=(says("user", "Hi"),)) == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_system_texts_are_one_message_and_come_first() -> None:
    assert sent(says("user", "Hi"), system=("Be brief.", "Today is Monday."))[0] == {
        "role": "system",
        "content": "Be brief.\n\nToday is Monday.",
    }


@pytest.mark.parametrize(("model", "role"), [("gpt-4o", "system"), ("o3-mini", "developer"), ("gpt-5.1", "developer")])
def test_instructions_have_the_role_that_the_model_knows(model: str, role: str) -> None:
    roles = [m["role"] for m in sent(says("developer", "a"), says("system", "b"), says("user", "c"), model=model, system=("d",))]
    assert roles == [role, role, role, "user"]


def test_a_tool_turn_goes_back_as_it_was() -> None:
    turn = (
        says("user", "Say hi"),
        Message("assistant", (Thinking("hm", "openai"), Text("Sure."), ToolCall("call_1", "echo__echo", '{"text": "hi"}'))),
        Message("tool", (ToolResult("call_1", (Text("hi"),)),)),
        says("assistant", "It said hi."),
    )
    assert sent(*turn)[1:] == [
        {
            "role": "assistant",
            "content": "Sure.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "echo__echo", "arguments": '{"text": "hi"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "hi"},
        {"role": "assistant", "content": "It said hi."},
    ]


def test_a_call_without_text_has_no_content() -> None:
    assert sent(Message("assistant", (ToolCall("c", "t"),)))[0]["content"] is None


def test_results_that_are_no_text_follow_the_tool_messages() -> None:
    results = Message(
        "tool",
        (
            ToolResult("c1", (Image(url="data:image/png;base64,AA=="),)),
            ToolResult("c2", (Text("broken"),), is_error=True),
            ToolResult("c3", (), structured={"n": 1}),
        ),
    )
    assert sent(Message("assistant", (ToolCall("c1", "t"), ToolCall("c2", "t"), ToolCall("c3", "t"))), results)[1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "(see the attachment that follows)"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: broken"},
        {"role": "tool", "tool_call_id": "c3", "content": '{"n":1}'},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Returned by the tools:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
    ]


def test_images_files_and_sounds_are_parts() -> None:
    parts = (
        Text("Look"),
        Image(url="https://example.com/a.png", detail="low"),
        File(data="data:application/pdf;base64,AA==", name="a.pdf", media_type="application/pdf"),
        File(data="data:audio/mpeg;base64,BB==", media_type="audio/mpeg"),
    )
    assert sent(Message("user", parts, name="ann"))[0] == {
        "role": "user",
        "name": "ann",
        "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
            {"type": "input_audio", "input_audio": {"data": "BB==", "format": "mp3"}},
        ],
    }


def test_the_agents_tools_come_before_the_callers() -> None:
    own = CallerTool(name="lookup", description="Finds.", parameters={"type": "object"}, strict=True)
    body = body_of(tools=(ECHO,), caller_tools=(own, CallerTool(name="bare")), parameters={"tool_choice": "required"})
    assert body["tools"] == [
        {"type": "function", "function": {"name": "echo__echo", "description": "Says it again.", "parameters": ECHO.schema}},
        {
            "type": "function",
            "function": {"name": "lookup", "description": "Finds.", "parameters": {"type": "object"}, "strict": True},
        },
        {"type": "function", "function": {"name": "bare"}},
    ]
    assert body["tool_choice"] == "required"


def test_what_only_makes_sense_with_tools_is_left_out_without_them() -> None:
    assert (
        not {"tool_choice", "parallel_tool_calls"}
        & body_of(parameters={"tool_choice": "auto", "parallel_tool_calls": True}).keys()
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "max_tokens"),
        ("llama-3", "max_tokens"),
        ("gpt-4.1", "max_tokens"),
        ("olmo-2", "max_tokens"),
        ("o3", "max_completion_tokens"),
        ("o4-mini", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("openai/gpt-5-mini", "max_completion_tokens"),
    ],
)
@pytest.mark.parametrize("given", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_has_the_name_that_the_model_takes(model: str, name: str, given: str) -> None:
    body = body_of(model=model, parameters={given: 100})
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {name: 100}


def test_parameters_keep_their_names_and_unset_ones_are_not_sent() -> None:
    body = body_of(parameters={"temperature": 0, "top_p": None, "stop": ["a"], "custom": {"x": 1}, "stream": False}, user="ann")
    assert body == {
        "model": "gpt-4o",
        "messages": [],
        "temperature": 0,
        "stop": ["a"],
        "custom": {"x": 1},
        "user": "ann",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
