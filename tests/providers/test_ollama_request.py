"""What Ollama is asked, as JSON."""

import json
from typing import Any

import msgspec
import pytest

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, says
from agentrt.providers import ModelAsk, ModelFailure
from agentrt.providers.ollama_request import request_body
from agentrt.tools import ToolDef

HI = says("user", "Hi")
ECHO = ToolDef(id="echo", description="Says it again.", schema={"type": "object", "properties": {"text": {"type": "string"}}})
PNG = "data:image/png;base64,aWJt"


def asked(*messages: Message, num_ctx: int | None = None, model: str = "qwen3", **ask: Any) -> dict[str, Any]:
    return json.loads(request_body(ModelAsk(model=model, messages=messages or (HI,), **ask), "ollama", num_ctx))


def sent(*messages: Message, **ask: Any) -> list[dict[str, Any]]:
    return asked(*messages, **ask)["messages"]


def refusal(*messages: Message, **ask: Any) -> str:
    with pytest.raises(ModelFailure) as caught:
        asked(*messages, **ask)
    assert caught.value.code == "invalid_request" and not caught.value.retryable
    return caught.value.message


def test_a_bare_question() -> None:
    assert asked() == {"model": "qwen3", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


def test_instructions_come_first_in_one_message_and_later_ones_in_their_place() -> None:
    assert sent(HI, says("developer", "In French."), system=("A.", "B.")) == [
        {"role": "system", "content": "A.\n\nB."},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "In French."},
    ]


def test_images_are_a_list_of_base64_and_files_of_text_are_read_out() -> None:
    message = Message(
        "user",
        (
            Text("Look: "),
            Image(url=PNG),
            File(data="data:image/jpeg;base64,anBn", name="cat.jpg"),
            File(data="data:text/csv;base64,YSxi", name="a.csv"),
        ),
    )
    assert sent(message) == [{"role": "user", "content": "Look: \n\na.csv:\na,b\n\n", "images": ["aWJt", "anBn"]}]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Image(url="https://example.com/cat.jpg"), "images by their address"),
        (File(data="data:application/pdf;base64,JVBERg=="), "application/pdf"),
        (File(data="data:audio/wav;base64,UklGRg=="), "audio/wav"),
        (File(data="data:text/plain;base64,%%%"), "not valid base64"),
    ],
)
def test_what_it_has_no_place_for_is_named(part: Any, words: str) -> None:
    assert words in refusal(Message("user", (part,)))


def test_calls_and_results_find_each_other_by_name_and_by_their_own_ids() -> None:
    called = Message(
        "assistant",
        (
            Thinking("Hm.", "ollama"),
            Text("Let me see."),
            ToolCall("c1", "echo", '{"x": 1.0}', msgspec.Raw(b'{"id":"call_7"}'), "ollama"),
            ToolCall("c2", "add", '{"broken'),
        ),
    )
    results = Message("tool", (ToolResult("c1", (Text("a"),)), ToolResult("c2", (Text("no"),), is_error=True)))
    assert sent(HI, called, results)[1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "thinking": "Hm.",
            "tool_calls": [
                {"id": "call_7", "function": {"name": "echo", "arguments": {"x": 1.0}}},
                {"function": {"name": "add", "arguments": {"malformed_arguments": '{"broken'}}},
            ],
        },
        {"role": "tool", "tool_name": "echo", "content": "a", "tool_call_id": "call_7"},
        {"role": "tool", "tool_name": "add", "content": "Error: no"},
    ]


def test_what_another_provider_thought_or_numbered_is_left_out() -> None:
    called = Message(
        "assistant",
        (
            Thinking("Hm.", "claude", msgspec.Raw(b'{"signature":"abc"}')),
            ToolCall("c1", "echo", "{}", msgspec.Raw(b'{"id":"x1"}'), "gemini"),
        ),
    )
    body = json.dumps(sent(HI, called, Message("tool", (ToolResult("c1", structured={"n": 1}),))))
    assert "Hm." not in body and "abc" not in body and "x1" not in body
    assert '{\\"n\\":1}' in body


def test_images_of_tools_are_shown_as_a_persons_would_be() -> None:
    called = Message("assistant", (ToolCall("c1", "shoot"), ToolCall("c2", "shoot")))
    shots = [Message("tool", (ToolResult(id_, (Image(url=PNG),)),)) for id_ in ("c1", "c2")]
    assert sent(HI, called, *shots, says("user", "So?"))[2:] == [
        {"role": "tool", "tool_name": "shoot", "content": "(see the attachment that follows)"},
        {"role": "tool", "tool_name": "shoot", "content": "(see the attachment that follows)"},
        {"role": "user", "content": "Returned by the tools:\n", "images": ["aWJt", "aWJt"]},
        {"role": "user", "content": "So?"},
    ]
    assert sent(HI, called, *shots)[-1]["images"] == ["aWJt", "aWJt"]


def test_tools_are_offered_with_their_schemas() -> None:
    own = CallerTool(name="now")
    assert asked(tools=(ECHO,), caller_tools=(own,))["tools"] == [
        {"type": "function", "function": {"name": "echo", "description": "Says it again.", "parameters": ECHO.schema}},
        {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}},
    ]


ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "now"}}]},
}


@pytest.mark.parametrize(("choice", "offered"), [("auto", ["echo", "now"]), ("none", []), (ALLOWED, ["now"])])
def test_a_choice_of_tools_narrows_them_down(choice: Any, offered: list[str]) -> None:
    body = asked(tools=(ECHO,), caller_tools=(CallerTool(name="now"),), parameters={"tool_choice": choice})
    assert [tool["function"]["name"] for tool in body.get("tools", ())] == offered


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "echo"}}])
def test_a_call_cannot_be_forced_and_that_is_said(choice: Any) -> None:
    assert "tool_choice" in refusal(tools=(ECHO,), parameters={"tool_choice": choice})


def test_parameters_have_their_places() -> None:
    given = {"temperature": 0, "top_p": 0.9, "max_tokens": 100, "stop": "END", "seed": 7, "presence_penalty": 0.1}
    assert asked(parameters={**given, "frequency_penalty": 0.2, "top_k": None}, num_ctx=8192)["options"] == {
        "num_ctx": 8192,
        "temperature": 0,
        "top_p": 0.9,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "num_predict": 100,
        "stop": ["END"],
    }
    assert asked(parameters={"num_ctx": 4096, "stop": ["a", "b"]}, num_ctx=8192)["options"] == {
        "num_ctx": 4096,
        "stop": ["a", "b"],
    }
    assert asked(parameters={"keep_alive": "10m"})["keep_alive"] == "10m"


@pytest.mark.parametrize(
    ("model", "effort", "think"),
    [
        ("qwen3", "none", False),
        ("qwen3", "low", True),
        ("deepseek-r1", "high", True),
        ("gpt-oss:20b", "none", "low"),
        ("gpt-oss:20b", "medium", "medium"),
        ("gpt-oss:120b", "xhigh", "high"),
    ],
)
def test_effort_is_thinking_or_not_and_degrees_where_the_model_has_them(model: str, effort: str, think: Any) -> None:
    assert asked(model=model, parameters={"reasoning_effort": effort})["think"] == think


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "out", "schema": SCHEMA}}


def test_the_form_of_the_answer_is_enforced() -> None:
    assert asked(parameters={"response_format": FORM})["format"] == SCHEMA
    assert asked(parameters={"response_format": {"type": "json_object"}})["format"] == "json"
    assert "format" not in asked(parameters={"response_format": {"type": "text"}})


def test_beside_tools_the_form_is_asked_for_in_words() -> None:
    body = asked(tools=(ECHO,), parameters={"response_format": FORM})
    assert "format" not in body
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["messages"][0]["content"]
    free = asked(tools=(ECHO,), parameters={"response_format": FORM, "tool_choice": "none"})
    assert free["format"] == SCHEMA


def test_the_bytes_of_a_request_begin_with_those_of_the_turn_before() -> None:
    turns = [HI, says("assistant", "Hello."), says("user", "Again")]
    short, long = (
        request_body(ModelAsk(model="qwen3", system=("S",), messages=tuple(turns[:n]), tools=(ECHO,)), "ollama", 8192)
        for n in (1, 3)
    )
    assert long.startswith(short.removesuffix(b"]}"))
