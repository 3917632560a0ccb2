import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml

from agentrt.events import CallerTool, ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Image, Message, Text, Thinking, ToolCall, ToolResult, Usage, says
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure, OfflineRules
from agentrt.providers.offline import OfflineClient
from agentrt.providers.schema_sample import sample
from agentrt.tools import ToolDef

pytestmark = pytest.mark.anyio


def tool(name: str, **properties: str) -> ToolDef:
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
    }
    return ToolDef(id=name, description="", schema=schema)


ECHO, ADD = tool("echo__echo", text="string"), tool("echo__add", a="number", b="number")
SLOW = tool("echo__slow", steps="integer")
CLOCK, CALCULATOR = tool("clock"), tool("calculator", expression="string")
PYTHON, FINISH = tool("box__execute_python", code="string"), tool("finish_task", result="string")
USUAL = (ADD, ECHO, SLOW, CLOCK, CALCULATOR)


async def collect(ask: ModelAsk, *documents: OfflineRules) -> list[Chunk]:
    client = OfflineClient("No key is set.", documents)
    return [chunk async for chunks in client.stream(ask) for chunk in chunks]


async def done(ask: ModelAsk, *documents: OfflineRules) -> Done:
    last = (await collect(ask, *documents))[-1]
    assert isinstance(last, Done)
    return last


def asks(text: str, *tools: ToolDef, model: str = "offline", **parameters: Any) -> ModelAsk:
    return ModelAsk(model=model, messages=(says("user", text),), tools=tools, parameters=parameters, call_prefix="call_abc")


async def loop(text: str, *tools: ToolDef, result: str = "RESULT") -> tuple[list[tuple[str, Any]], str]:
    """The tool calls for `text`, and the answer once each of them returned `result`."""
    ask = asks(text, *tools)
    first = await done(ask)
    calls = first.message.calls
    if not calls:
        return [], first.message.text
    assert first.stop == "tool_calls"
    results = Message("tool", tuple(ToolResult(call.id, (Text(result),)) for call in calls))
    second = await done(msgspec.structs.replace(ask, messages=(*ask.messages, first.message, results)))
    assert second.stop == "stop"
    return [(call.name, json.loads(call.arguments)) for call in calls], second.message.text


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Use the echo tool to say: Hello", ("echo__echo", {"text": "Hello"})),
        ('use the echo tool to say "Hello, you"', ("echo__echo", {"text": "Hello, you"})),
        ("Echo: test", ("echo__echo", {"text": "test"})),
        ("add 2 and 3", ("echo__add", {"a": 2, "b": 3})),
        ("Please add 2.5 to -3", ("echo__add", {"a": 2.5, "b": -3})),
        ("What is 2 + 2 * 3", ("calculator", {"expression": "2 + 2 * 3"})),
        ("What's (1+2)*3?", ("calculator", {"expression": "(1+2)*3"})),
        ("17 * 23 =", ("calculator", {"expression": "17 * 23"})),
        ("what time is it", ("clock", {})),
        ("What is the date today?", ("clock", {})),
        ("Use the slow tool", ("echo__slow", {"steps": 0})),
        ('use echo__slow with {"steps": 3}', ("echo__slow", {"steps": 3})),
    ],
)
async def test_what_people_type_first_calls_a_tool(text: str, call: tuple[str, Any]) -> None:
    calls, answer = await loop(text, *USUAL)
    assert calls == [call]
    assert "RESULT" in answer


async def test_code_is_executed_where_a_code_tool_is_on_offer() -> None:
    text = "Execute this Python code: print(2 + 2)"
    assert await loop(text, *USUAL, PYTHON, result="4") == (
        [("box__execute_python", {"code": "print(2 + 2)"})],
        "The code ran. Its result:\n\n4",
    )
    fenced = "Run this python script:\n```python\nfor i in range(2):\n    print(i)\n```"
    calls, _ = await loop(fenced, PYTHON)
    assert calls == [("box__execute_python", {"code": "for i in range(2):\n    print(i)\n"})]
    calls, _ = await loop("Execute this Python code: x = 1\nprint(x)", PYTHON)
    assert calls == [("box__execute_python", {"code": "x = 1\nprint(x)"})]
    bash = tool("execute_bash", command="string")
    assert await loop("Run this shell command: ls -l | wc -l", PYTHON, bash, result="3") == (
        [("execute_bash", {"command": "ls -l | wc -l"})],
        "The command ran. Its result:\n\n3",
    )


async def test_without_a_code_tool_it_says_so_and_does_what_it_can() -> None:
    calls, answer = await loop("Execute this Python code: print(2 + 2)", *USUAL, result="4")
    assert calls == [("calculator", {"expression": "2 + 2"})]
    assert "No code tool is on offer" in answer and "shows 4" in answer
    calls, answer = await loop("Execute this Python code: import this", *USUAL)
    assert calls == []
    assert "execute_python" in answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Say hello!", "Hello!"),
        ("say: good night", "good night"),
        ("Count from 1 to 3", "1, 2, 3"),
        ("count from 3 down to 1", "3, 2, 1"),
        ("Echo: test", "test"),
        ("add 2 and 3", "Neither an adding tool nor a calculator"),
        ("What can you do?", "On offer: no tools."),
        ("hello", "I am the offline model of agentrt: a fixed set of rules, not a language model. No key is set."),
        ("Why is the sky blue?", "offline model"),
        ("", "offline model"),
    ],
)
async def test_without_tools_it_answers_plainly(text: str, expected: str) -> None:
    answer = (await done(asks(text))).message.text
    assert expected in answer
    assert "{" not in answer


async def test_a_failed_tool_is_reported_as_such() -> None:
    ask = asks("add 2 and 3", ADD)
    call = (await done(ask)).message
    failed = Message("tool", (ToolResult(call.calls[0].id, (Text("no server"),), is_error=True),))
    answer = await done(msgspec.structs.replace(ask, messages=(*ask.messages, call, failed)))
    assert "the tool failed: no server" in answer.message.text


async def test_an_autonomous_run_is_ended_with_its_result() -> None:
    last = await done(asks("Count from 1 to 3", FINISH))
    assert last.message.text == "1, 2, 3"
    assert last.message.calls == (ToolCall("call_abc000", "finish_task", '{"result":"1, 2, 3"}'),)
    assert last.stop == "tool_calls"


async def test_tool_choice_is_obeyed() -> None:
    lookup = CallerTool(
        name="lookup",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
        },
    )
    forced = asks("Weather?", *USUAL, tool_choice={"type": "function", "function": {"name": "lookup"}})
    forced = msgspec.structs.replace(forced, caller_tools=(lookup,))
    assert (await done(forced)).message.calls == (ToolCall("call_abc000", "lookup", '{"city":"text","days":1}'),)
    required = asks("Weather?", ECHO, tool_choice="required")
    assert [call.name for call in (await done(required)).message.calls] == ["echo__echo"]
    assert (await done(asks("Echo: test", ECHO, tool_choice="none"))).message.calls == ()
    own = asks("Echo: test", ECHO, tool_choice={"type": "function", "function": {"name": "echo__echo"}})
    assert (await done(own)).message.calls[0].arguments == '{"text":"test"}'


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 9}, "b": {"type": "number"}}, "required": ["a", "b"]},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date-time"}}, "required": ["when"]},
    {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2},
    {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer", "minimum": 3, "multipleOf": 5}}},
    {"anyOf": [{"type": "null"}, {"type": "string"}]},
    {
        "allOf": [
            {"properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    {"type": ["string", "null"], "maxLength": 2},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "maximum": -4},
    {"type": "object", "properties": {"node": {"$ref": "#"}}},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_made_up_values_are_valid(schema: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema, sample(schema))


def test_a_schema_that_needs_itself_ends() -> None:
    assert sample({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}) is not None


async def test_response_format_is_obeyed() -> None:
    schema = SCHEMAS[0]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    jsonschema_rs.validate(schema, json.loads((await done(asks("hi", response_format=wanted))).message.text))
    assert json.loads((await done(asks("Say hi", response_format={"type": "json_object"}))).message.text) == {"reply": "hi"}


async def test_limits_and_stop_sequences_cut() -> None:
    cut = await done(asks("Count from 1 to 100", max_tokens=2))
    assert (cut.message.text, cut.stop) == ("1, 2, 3,", "length")
    stopped = await done(asks("Count from 1 to 100", stop=["4", "3"]))
    assert (stopped.message.text, stopped.stop) == ("1, 2, ", "stop")


async def test_images_are_counted() -> None:
    seen = Message("user", (Text("hello"), Image(url="data:image/png;base64,AA=="), Image(url="https://example.com/a.png")))
    assert "I see 2 images" in (await done(ModelAsk(model="offline", messages=(seen,)))).message.text


async def test_the_same_request_gets_the_same_answer_and_usage() -> None:
    ask = asks("Count from 1 to 3", ECHO)
    assert await collect(ask) == await collect(ask)
    usage = (await done(ask)).usage
    assert usage.estimated and usage.output == 2 and usage.input > 5


RULES = b"""{"rules": [
    {"match": "weather in (?P<city>\\\\w+)",
     "calls": [{"tool": "*__forecast", "arguments": {"place": "{city}", "days": "{nothing}"}}],
     "after_tools": "In {city}: {results}", "reply": "No forecast for {city}."},
    {"match": "^usage", "reply": "counted", "chunk": 3, "usage": {"input": 100, "output": 5, "cached": 50}, "reasoning": "hm"},
    {"match": "^break", "reply": "12345678", "chunk": 2, "delay_ms": 1,
     "fail": {"code": "overloaded", "after": 2, "retryable": true}},
    {"model": "big-*", "reply": "I am {model}"}
]}"""


async def test_rules_of_a_document_come_first() -> None:
    rules = msgspec.json.decode(RULES, type=OfflineRules)
    call = (await done(asks("weather in Rome?", tool("w__forecast", place="string")), rules)).message.calls[0]
    assert json.loads(call.arguments) == {"place": "Rome", "days": "{nothing}"}
    assert (await done(asks("weather in Rome?"), rules)).message.text == "No forecast for Rome."
    assert (await done(asks("anything", model="big-7"), rules)).message.text == "I am big-7"
    chunks = await collect(asks("usage"), rules)
    assert chunks[:4] == [ReasoningDelta(text="hm"), TextDelta(text="cou"), TextDelta(text="nte"), TextDelta(text="d")]
    assert isinstance(chunks[4], Done) and chunks[4].usage == Usage(100, 5, 50)


async def test_a_rule_can_fail_as_a_provider_does() -> None:
    client = OfflineClient("", [msgspec.json.decode(RULES, type=OfflineRules)])
    seen: list[Chunk] = []
    with pytest.raises(ModelFailure) as caught:
        async for chunks in client.stream(asks("break")):
            assert len(chunks) == 1, "with pauses every chunk comes by itself"
            seen += chunks
    assert seen == [TextDelta(text="12"), TextDelta(text="34")]
    assert (caught.value.code, caught.value.retryable) == ("overloaded", True)


async def test_the_shipped_example_works() -> None:
    text = (Path(__file__).parents[2] / "examples/offline/rules.yaml").read_text()
    rules = msgspec.convert(yaml.safe_load(text), OfflineRules)
    assert (await done(asks("sum of 2 and 3", ADD), rules)).message.calls[0].arguments == '{"a":2,"b":3}'
    assert (await done(asks("hi", model="thinker"), rules)).message.parts[0] == Thinking("The question was: hi", "offline")
    assert [type(c).__name__ for c in await collect(asks("hi", model="steady"), rules)] == ["TextDelta"] * 10 + ["Done"]
    with pytest.raises(ModelFailure, match="broke off"):
        await collect(asks("hi", model="fragile"), rules)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b'{"rules": [{"match": "("}]}', r"not a regular expression.*\$\.rules\[0\]"),
        (b'{"rules": [{"mach": "a"}]}', "mach"),
        (b'{"rules": [{"chunk": 0}]}', "chunk"),
    ],
)
def test_a_broken_rule_is_refused_with_its_place(document: bytes, words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.json.decode(document, type=OfflineRules)


async def test_there_are_models_for_load_tests() -> None:
    assert OfflineClient("").models() == ["offline", "load", "load-slow"]
    assert sum(isinstance(chunk, TextDelta) for chunk in await collect(asks("go", model="load"))) == 100


async def test_what_a_user_writes_is_never_a_variable() -> None:
    assert (await done(asks("say {tools}"))).message.text == "{tools}"


async def test_calls_are_streamed_with_their_ids() -> None:
    assert (await collect(asks("Echo: test", ECHO)))[0] == ToolCallDelta(
        index=0, id="call_abc000", name="echo__echo", arguments='{"text":"test"}'
    )
