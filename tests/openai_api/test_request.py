import base64
import json

import pytest

from agentrt.events import CallerTool
from agentrt.kernel import Invalid
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult
from agentrt.openai_api.request import read_request

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
HELLO = {"role": "user", "content": "hi"}
OURS = "call_" + "0199" * 8 + "002"


def read(*messages, **fields):
    return read_request(json.dumps({"model": "default", "messages": list(messages) or [HELLO], **fields}).encode())


def refused(raw=None, **fields):
    with pytest.raises(Invalid) as caught:
        read_request(raw if raw is not None else json.dumps({"model": "m", "messages": [HELLO], **fields}).encode())
    assert len(caught.value.message) < 400
    return caught.value


def function(name, **more):
    return {"type": "function", "function": {"name": name, **more}}


def test_a_small_request_is_read_whole():
    request = read()
    assert (request.model, request.stream, request.parameters, request.ignored) == ("default", False, {}, ())
    assert request.messages == (Message("user", (Text("hi"),)),)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b'{"model": "m",\n "messages": [}', "line 2, column 15"),
        (b'{"model": "m"', "line 1"),
        (b'{"model": "\xff"}', "UTF-8"),
        (b"\xff\xfe", "JSON"),
        ('{"model": "m"}'.encode("utf-8-sig"), "byte order mark"),
        ('{"model": "m"}'.encode("utf-16"), "byte order mark"),
        ('{"model": "m"}'.encode("utf-16-le"), "line 1, column 2"),
        (b'{"model": "m", "temperature": NaN}', "NaN"),
        (b'{"model": "\\ud83d"}', "surrogate"),
        (b'{"x":' * 6000, "deep"),
        (b'{"unknown": ' + b"[" * 6000 + b"]" * 6000 + b"}", "deep"),
    ],
)
def test_bytes_that_are_not_json_are_refused_in_one_sentence(raw, says):
    error = refused(raw)
    assert error.code == "invalid_json"
    assert says in error.message


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"text"', b"null"])
def test_json_that_is_no_object_is_refused(raw):
    assert refused(raw).code == "invalid_type"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": 1}, "model", "invalid_type"),
        ({"model": ""}, "model", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty_array"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": [1]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        ({"messages": [HELLO, {"role": "user", "content": "x", "nmae": "y"}]}, "messages[1].nmae", "unknown_parameter"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role", "unsupported_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"top_p": 1.1}, "top_p", "invalid_value"),
        ({"presence_penalty": -3}, "presence_penalty", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens", "invalid_value"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
        ({"modalities": ["smell"]}, "modalities[0]", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stream": True, "stream_options": {"include_use": True}}, "stream_options.include_use", "unknown_parameter"),
        ({"metadata": {"a": 1}}, "metadata[...]", "invalid_type"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a", "string_above_max_length"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "invalid_value"),
        ({"tools": [function("no spaces")]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [function("x" * 65)]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [function("f"), function("g"), function("f")]}, "tools[2].function.name", "invalid_value"),
        ({"tools": [function("f", parameters=[])]}, "tools[0].function.parameters", "invalid_type"),
        (
            {"tools": [function("f", parameters={"type": "array"})]},
            "tools[0].function.parameters.type",
            "invalid_function_parameters",
        ),
        ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function"}}, "tool_choice", "invalid_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{}]}}},
            "tool_choice.allowed_tools.tools[0]",
            "invalid_value",
        ),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": "json"}, "response_format", "invalid_type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "invalid_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nope"}}}},
            "response_format.json_schema.schema",
            "invalid_json_schema",
        ),
    ],
)
def test_what_cannot_be_used_is_named_by_place_and_code(fields, param, code):
    error = refused(**fields)
    assert (error.param, error.code) == (param, code)


def test_a_missing_model_or_misspelt_field_says_what_was_meant():
    assert refused(b'{"messages":[{"role":"user","content":"x"}]}').param == "model"
    missing = refused(b'{"model":"m","mesages":[]}')
    assert (missing.param, missing.code) == ("messages", "missing_required_parameter")
    assert "'mesages': did you mean 'messages'" in missing.message
    nested = refused(messages=[{"role": "user", "contnet": "x"}])
    assert "Did you mean 'content'?" in nested.message
    role = refused(messages=[{"role": "robot", "content": "x"}])
    assert "'developer'" in role.message
    part = refused(messages=[{"role": "user", "content": [{"type": "img"}]}])
    assert part.param == "messages[0].content[0].type"
    assert "'image_url'" in part.message


def test_unknown_fields_are_set_aside_for_whoever_governs_the_request():
    request = read(temprature=0.5, top_k=3, temperature=1)
    assert request.unknown == {"temprature": 0.5, "top_k": 3}
    assert request.parameters == {"temperature": 1.0}


def test_null_says_nothing_and_harmless_values_say_nothing():
    request = read(
        temperature=None,
        tools=None,
        metadata=None,
        n=1,
        logprobs=False,
        modalities=["text"],
        stop=[],
        function_call="auto",
        stream=None,
    )
    assert request.parameters == {}


def test_both_token_limits_are_one_parameter():
    assert read(max_completion_tokens=7).parameters == {"max_tokens": 7}
    assert read(max_completion_tokens=7, max_tokens=7).parameters == {"max_tokens": 7}


def test_every_role_is_read():
    request = read(
        {"role": "developer", "content": "be brief"},
        {"role": "system", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "content": "hi", "name": "ada"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "4"}]},
        {"role": "assistant", "content": "four"},
    )
    assert request.messages == (
        Message("developer", (Text("be brief"),)),
        Message("system", (Text("be kind"),)),
        Message("user", (Text("hi"),), "ada"),
        Message("assistant", (ToolCall("c1", "f", "{"),)),
        Message("tool", (ToolResult("c1", (Text("4"),)),)),
        Message("assistant", (Text("four"),)),
    )


def test_assistant_messages_are_taken_back_as_the_sdks_echo_them():
    from openai.types.chat import ChatCompletionMessage

    echoed = ChatCompletionMessage.model_validate(
        {"role": "assistant", "content": "four", "reasoning_content": "2+2", "annotations": [], "refusal": None}
    ).model_dump()
    assert set(echoed) >= {"audio", "function_call", "annotations", "refusal"}
    assert read(HELLO, echoed, HELLO).messages[1] == Message("assistant", (Thinking("2+2"), Text("four")))


def test_a_refusal_is_what_the_assistant_said():
    assert read(HELLO, {"role": "assistant", "content": None, "refusal": "no"}).messages[1].text == "no"
    assert read(HELLO, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}).messages[1].text == "no"


def test_parts_become_text_images_and_files():
    sound = base64.b64encode(b"RIFF").decode()
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PIXEL}", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file_" + "0" * 32}},
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
    ]
    assert read({"role": "user", "content": parts}).messages[0].parts == (
        Text("look"),
        Image(url="https://example.org/cat.png", detail="low"),
        Image(url=f"data:image/png;base64,{PIXEL}", media_type="image/png"),
        File(data=f"data:application/pdf;base64,{PIXEL}", name="a.pdf", media_type="application/pdf"),
        File(file="file_" + "0" * 32),
        File(data=f"data:audio/wav;base64,{sound}", media_type="audio/wav"),
    )


@pytest.mark.parametrize(
    ("part", "place", "code"),
    [
        ({"type": "image_url", "image_url": "https://example.org/a.png"}, "image_url", "invalid_type"),
        ({"type": "image_url", "image_url": {"url": "cat.png"}}, "image_url.url", "invalid_image_url"),
        ({"type": "image_url", "image_url": {"url": "ftp://example.org/a.png"}}, "image_url.url", "invalid_image_url"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/hosts"}}, "image_url.url", "invalid_image_url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,abc"}}, "image_url.url", "invalid_data_url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,@@@"}}, "image_url.url", "invalid_base64"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,é"}}, "image_url.url", "invalid_base64"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "image_url.url", "invalid_base64"),
        ({"type": "image_url", "image_url": {"url": "data:text/html;base64,aGk="}}, "image_url.url", "invalid_image_format"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 30_000_000}}, "image_url.url", "too_large"),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "best"}},
            "image_url.detail",
            "invalid_value",
        ),
        ({"type": "file", "file": {}}, "file.file_data", "missing_required_parameter"),
        ({"type": "file", "file": {"file_id": "../x"}}, "file.file_id", "invalid_value"),
        ({"type": "file", "file": {"file_id": "file_" + "0" * 32, "file_data": "x"}}, "file", "invalid_value"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "input_audio.data", "invalid_base64"),
        ({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "ogg"}}, "input_audio.format", "invalid_value"),
        ({"type": "refusal", "refusal": "no"}, "type", "invalid_value"),
    ],
)
def test_a_bad_part_is_named_by_its_place(part, place, code):
    error = refused(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}, part]}])
    assert (error.param, error.code) == (f"messages[0].content[1].{place}", code)


def test_images_stand_in_user_messages_only():
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert refused(messages=[{"role": "system", "content": [image]}]).param == "messages[0].content[0].type"
    assert refused(messages=[{"role": "assistant", "content": [image]}]).param == "messages[0].content[0].type"


def test_a_tool_message_needs_its_call():
    lonely = refused(messages=[HELLO, {"role": "tool", "tool_call_id": "c9", "content": "4"}])
    assert (lonely.param, lonely.code) == ("messages[1].tool_call_id", "invalid_value")
    assert "'c9'" in lonely.message
    assert refused(messages=[{"role": "tool", "content": "4"}]).param == "messages[0].tool_call_id"


def test_a_tool_message_whose_id_leads_back_to_a_run_may_come_alone():
    assert read({"role": "tool", "tool_call_id": OURS, "content": "4"}).messages[0].parts == (ToolResult(OURS, (Text("4"),)),)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "user", "content": "x", "tool_call_id": "c"}, "tool_call_id"),
        ({"role": "assistant", "content": "x", "tool_call_id": "c"}, "tool_call_id"),
        ({"role": "user", "content": "x", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}, "tool_calls"),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
    ],
)
def test_fields_of_another_role_are_refused(message, field):
    assert refused(messages=[message]).param == f"messages[0].{field}"


def test_two_calls_cannot_share_an_id():
    call = {"id": "c", "function": {"name": "f"}}
    assert refused(messages=[{"role": "assistant", "tool_calls": [call, call]}]).param == "messages[0].tool_calls[1].id"


def test_functions_become_tools_of_the_caller():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    request = read(tools=[function("weather", description="Now.", parameters=schema, strict=True), function("ping")])
    assert request.tools == (
        CallerTool(name="weather", description="Now.", parameters=schema, strict=True),
        CallerTool(name="ping"),
    )


def test_cache_hints_are_dropped_with_notice():
    hint = {"cache_control": {"type": "ephemeral"}}
    assert read({"role": "user", "content": [{"type": "text", "text": "x", **hint}]}).ignored == ("messages[].cache_control",)
    assert read(tools=[{**function("f"), **hint}]).ignored == ("tools[].cache_control",)
    text = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    both = read({"role": "user", "content": [text]}, tools=[{**function("f"), **hint}])
    assert both.ignored == ("messages[].prompt_cache_breakpoint", "tools[].cache_control")


def test_stream_options_user_and_metadata_are_read():
    request = read(stream=True, stream_options={"include_usage": True}, user="ada", metadata={"session_id": "s"})
    assert (request.stream, request.include_usage, request.user, request.metadata) == (True, True, "ada", {"session_id": "s"})


@pytest.mark.parametrize("schema", [{"$ref": "http://127.0.0.1:9/a.json"}, {"$schema": "http://127.0.0.1:9/meta"}])
def test_json_schemas_are_never_fetched_from_the_network(schema):
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with pytest.raises(Invalid) as refusal:
        read(response_format=wanted)
    assert (refusal.value.code, refusal.value.param) == ("invalid_json_schema", "response_format.json_schema.schema")
