"""What Gemini is asked, as JSON."""

import json
from typing import Any

import msgspec
import pytest

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, says
from agentrt.providers import ModelAsk
from agentrt.providers.gemini_request import request_body
from agentrt.providers.gemini_response import GeminiReader
from agentrt.providers.ollama_request import request_body as ollama_body
from agentrt.providers.openai_request import request_body as openai_body
from agentrt.tools import ToolDef
from upstreams.gemini_upstream import calls, event, piece
from upstreams.gemini_upstream import says as answers

HI = says("user", "Hi")
ECHO = ToolDef(id="echo", description="Says it again.", schema={"type": "object", "properties": {"text": {"type": "string"}}})
PNG = "data:image/png;base64,aWJt"


def asked(*messages: Message, model: str = "gemini-3-flash-preview", provider: str = "gemini", **ask: Any) -> dict[str, Any]:
    return json.loads(request_body(ModelAsk(model=model, messages=messages or (HI,), **ask), provider))


def config(model: str = "gemini-3-flash-preview", **parameters: Any) -> dict[str, Any]:
    return asked(model=model, parameters=parameters).get("generationConfig", {})


def opaque(**extras: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(extras))


def read(stream: Any) -> Message:
    reader = GeminiReader("gemini", ModelAsk(model="gemini-3-flash", call_prefix="call_r"))
    for frame in stream:
        reader.feed(frame)
    return reader.done().message


def test_a_bare_question_is_nothing_but_its_contents() -> None:
    assert asked() == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_instructions_come_first_and_apart() -> None:
    body = asked(says("developer", "Be kind."), HI, system=("You are brief.",))
    assert body["systemInstruction"] == {"parts": [{"text": "You are brief."}, {"text": "Be kind."}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


def test_instructions_in_mid_conversation_keep_their_place() -> None:
    body = asked(HI, says("assistant", "Hello."), says("system", "Now in French."), says("user", "Again"))
    assert [(content["role"], [part["text"] for part in content["parts"]]) for content in body["contents"]] == [
        ("user", ["Hi"]),
        ("model", ["Hello."]),
        ("user", ["Now in French.", "Again"]),
    ]


def test_images_files_and_sound_are_sent_as_bytes_or_by_their_address() -> None:
    message = Message(
        "user",
        (
            Text("Look:"),
            Image(url=PNG),
            Image(url="https://example.com/cat.jpg?size=1"),
            File(data="data:application/pdf;base64,JVBERg==", name="a.pdf"),
            File(data="data:audio/wav;base64,UklGRg==", media_type="audio/wav"),
            File(data="data:text/plain,hello%20you", name="a.txt"),
        ),
    )
    assert asked(message)["contents"][0]["parts"] == [
        {"text": "Look:"},
        {"inlineData": {"mimeType": "image/png", "data": "aWJt"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/cat.jpg?size=1"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
        {"inlineData": {"mimeType": "text/plain", "data": "aGVsbG8geW91"}},
    ]


def test_what_the_model_signed_goes_back_as_it_came() -> None:
    thought = b'{"text": "Hm.", "thought": true, "thoughtSignature": "dGg\\u003d"}'
    said = b'{"thoughtSignature":"dHg=",  "text":"there"}'
    code = b'{"executableCode":{"language":"PYTHON","code":"1"},"thoughtSignature":"Y29kZQ=="}'
    image = b'{"inlineData":{"mimeType":"image/png","data":"aWJt"},"thoughtSignature":"aW1n"}'
    parts = b",".join((b'{"text":"x","thought":true}', thought, b'{"text":"Hello "}', said, code, image))
    frame = event(b'{"candidates":[{"content":{"parts":[' + parts + b']},"finishReason":"STOP"}]}')
    body = request_body(ModelAsk(model="gemini-3-flash", messages=(HI, read([frame]), HI)), "gemini")
    assert b'"parts":[{"text":"Hello "},' in body.replace(thought + b",", b"")
    assert b",".join((thought, b'{"text":"Hello "}', said, code, image)) in body


def test_a_signed_answer_survives_the_journal() -> None:
    message = read(answers("Hello.").frames)
    stored = msgspec.json.decode(msgspec.json.encode(message), type=Message)
    model = asked(HI, stored, HI)["contents"][1]
    assert model["parts"] == [{"text": "Hello."}, {"text": "", "thoughtSignature": "c2lnbmVkIHRleHQ="}]


def test_calls_go_back_with_their_signature_and_their_id_and_results_find_them() -> None:
    frame = event(
        piece(
            {"functionCall": {"name": "echo", "args": {"text": "a"}, "id": "fc_1"}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "add", "args": {"a": 1}}},
            finish="STOP",
        )
    )
    message = read([frame])
    first, second = message.calls
    results = (
        Message("tool", (ToolResult(first.id, (Text("a"),)),)),
        Message("tool", (ToolResult(second.id, (Text("no"),), is_error=True),)),
    )
    assert asked(HI, message, *results, says("user", "Well?"))["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "echo", "args": {"text": "a"}, "id": "fc_1"}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "add", "args": {"a": 1}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "echo", "response": {"output": "a"}, "id": "fc_1"}},
                {"functionResponse": {"name": "add", "response": {"error": "no"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "Well?"}]},
    ]


def test_several_results_may_come_in_one_message() -> None:
    called = Message("assistant", (ToolCall("c1", "a"), ToolCall("c2", "b")))
    both = Message("tool", (ToolResult("c1", structured={"n": 1}), ToolResult("c2", (Text("x"), Text("y")))))
    parts = asked(HI, called, both)["contents"][2]["parts"]
    assert [part["functionResponse"] for part in parts] == [
        {"name": "a", "response": {"output": {"n": 1}}},
        {"name": "b", "response": {"output": "x\ny"}},
    ]


OF_ANOTHER = Message(
    "assistant",
    (
        Thinking("Hm.", "claude", msgspec.Raw(b'{"type":"thinking","signature":"abc"}')),
        ToolCall("c1", "echo", '{"text":"a"}', opaque(id="toolu_1", thoughtSignature="abc"), "claude"),
        ToolCall("c2", "echo", "{}"),
    ),
)


def test_what_another_provider_wants_back_is_left_out() -> None:
    body = json.dumps(asked(HI, OF_ANOTHER, model="gemini-2.5-flash"))
    assert "abc" not in body and "toolu_1" not in body and "Hm." not in body


def test_the_third_generation_is_told_which_calls_are_not_its_own() -> None:
    model = asked(HI, OF_ANOTHER)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in model] == ["skip_thought_signature_validator", None]


def test_what_gemini_wants_back_goes_to_no_other() -> None:
    message = read(calls(("echo", {"text": "a"})).frames)
    again = read(answers("Yes.").frames)
    asking = ModelAsk(model="m", messages=(HI, message, Message("tool", (ToolResult("call_r000", (Text("a"),)),)), again))
    for body in (openai_body(asking), ollama_body(asking, "ollama"), request_body(asking, "another-gemini")):
        assert b"c2lnbmVk" not in body and b"I need a tool." not in body


def test_images_of_tools_reach_the_model_within_the_response_or_beside_it() -> None:
    called = Message("assistant", (ToolCall("c1", "shoot"), ToolCall("c2", "shoot")))
    shot = Message("tool", (ToolResult("c1", (Image(url=PNG),)), ToolResult("c2", (Text("ok"),))))
    image = {"inlineData": {"mimeType": "image/png", "data": "aWJt"}}
    assert asked(HI, called, shot)["contents"][2]["parts"][0]["functionResponse"] == {
        "name": "shoot",
        "response": {"output": "(see the attachment)"},
        "parts": [image],
    }
    older = asked(HI, called, shot, model="gemini-2.5-pro")["contents"][2]["parts"]
    assert ["functionResponse" in part for part in older] == [True, True, False]
    assert older[2] == image


def test_arguments_keep_their_bytes_and_broken_ones_stay_readable() -> None:
    called = Message("assistant", (ToolCall("c1", "echo", '{"x": 1.0}'), ToolCall("c2", "echo", '{"x": ')))
    body = request_body(ModelAsk(model="m", messages=(HI, called)), "gemini")
    assert b'"args":{"x": 1.0}' in body
    assert json.loads(body)["contents"][1]["parts"][1]["functionCall"]["args"] == {"malformed_arguments": '{"x": '}


def test_tools_are_declared_with_their_schemas() -> None:
    own = CallerTool(name="pay", parameters={"type": "object"}, strict=True)
    assert asked(tools=(ECHO,), caller_tools=(own, CallerTool(name="now", description="The time.")))["tools"] == [
        {
            "functionDeclarations": [
                {"name": "echo", "description": "Says it again.", "parametersJsonSchema": ECHO.schema},
                {"name": "pay", "parametersJsonSchema": {"type": "object"}},
                {"name": "now", "description": "The time."},
            ]
        }
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", None),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "echo"}}, {"mode": "ANY", "allowedFunctionNames": ["echo"]}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "echo"}}]},
            },
            {"mode": "VALIDATED", "allowedFunctionNames": ["echo"]},
        ),
    ],
)
def test_the_choice_of_tools(choice: Any, expected: Any) -> None:
    body = asked(tools=(ECHO,), parameters={"tool_choice": choice})
    assert body.get("toolConfig") == (expected and {"functionCallingConfig": expected})
    assert "toolConfig" not in asked(parameters={"tool_choice": choice})


def test_parameters_have_their_places() -> None:
    given = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 100, "stop": "END", "seed": 7, "presence_penalty": 0.1}
    assert config(**given, frequency_penalty=0.2, parallel_tool_calls=True, user="u") == {
        "temperature": 0.5,
        "topP": 0.9,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
    }
    assert config(max_completion_tokens=5, stop=["a", "b"]) == {"maxOutputTokens": 5, "stopSequences": ["a", "b"]}


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3-flash-preview", "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
        ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
        ("gemini-flash-latest", "xhigh", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-3.5-flash", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3.8-flash", "none", {"thinkingLevel": "low"}),
        ("gemini-3.8-flash-lite", "minimal", {"thinkingLevel": "minimal", "includeThoughts": True}),
        ("gemini-4-argon", "minimal", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-4-argon", "max", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash-lite", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.0-flash", "high", None),
    ],
)
def test_effort_is_a_level_or_a_budget(model: str, effort: str, expected: Any) -> None:
    assert config(model, reasoning_effort=effort).get("thinkingConfig") == expected


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "out", "schema": SCHEMA, "strict": True}}


def test_the_form_of_the_answer_is_enforced() -> None:
    assert config(response_format=FORM) == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    assert config(response_format={"type": "json_object"}) == {"responseMimeType": "application/json"}
    assert config(response_format={"type": "text"}) == {}


def test_where_form_and_tools_exclude_each_other_the_form_is_asked_for_in_words() -> None:
    older = asked(model="gemini-2.5-flash", tools=(ECHO,), parameters={"response_format": FORM})
    assert "generationConfig" not in older
    assert json.dumps(SCHEMA, separators=(",", ":")) in older["systemInstruction"]["parts"][-1]["text"]
    newer = asked(tools=(ECHO,), parameters={"response_format": FORM})
    assert newer["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert "systemInstruction" not in newer


def test_the_bytes_of_a_request_begin_with_those_of_the_turn_before() -> None:
    turns = [HI, says("assistant", "Hello."), says("user", "Again")]
    short, long = (
        request_body(ModelAsk(model="gemini-3-flash", system=("S",), messages=tuple(turns[:n]), tools=(ECHO,)), "gemini")
        for n in (1, 3)
    )
    assert long.startswith(short.removesuffix(b"]}"))
