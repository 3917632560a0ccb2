from typing import Any

import msgspec
import pytest

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, says
from agentrt.providers import ModelAsk, ModelFailure
from agentrt.providers.anthropic_request import request_body
from agentrt.tools import ToolDef

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
ECHO = ToolDef(id="echo__echo", description="Says it again.", schema=SCHEMA)
NEWEST, OLD = "claude-sonnet-5-5", "claude-sonnet-4-5"
MARK = {"type": "ephemeral"}
BEGINS = {"type": "text", "text": "(The conversation begins.)"}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def body_of(version: str = "2023-06-01", thinking: bool = True, **ask: Any) -> dict[str, Any]:
    asked = ModelAsk(**{"model": OLD, "messages": (says("user", "Hi"),), **ask})
    return msgspec.json.decode(request_body(asked, "anthropic", version, thinking=thinking))


def without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_marks(each) for name, each in value.items() if name != "cache_control"}
    return [without_marks(each) for each in value] if isinstance(value, list) else value


def sent(*messages: Message, **ask: Any) -> list[tuple[str, list[Any]]]:
    """The turns, without their cache marks."""
    turns = without_marks(body_of(messages=messages, **ask)["messages"])
    return [(turn["role"], turn["content"]) for turn in turns]


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def test_the_smallest_request_is_a_stream_with_a_limit() -> None:
    assert body_of() == {
        "model": OLD,
        "max_tokens": 64_000,
        "messages": [{"role": "user", "content": [text("Hi") | {"cache_control": MARK}]}],
        "stream": True,
    }


def test_system_texts_are_blocks_and_early_instructions_are_among_them() -> None:
    body = body_of(messages=(says("developer", "Be kind."), says("user", "Hi")), system=("Be brief.", " ", "Today is Monday."))
    assert without_marks(body["system"]) == [text("Be brief."), text("Today is Monday."), text("Be kind.")]
    assert [turn["role"] for turn in body["messages"]] == ["user"]


def test_a_later_instruction_stands_where_it_was_said() -> None:
    turns = sent(says("user", "a"), says("assistant", "b"), says("system", "Now be loud."), says("user", "c"))
    assert turns[2] == ("user", [text("<system>\nNow be loud.\n</system>"), text("c")])


def test_turns_alternate_and_begin_with_the_user() -> None:
    assert sent(says("assistant", "Welcome"), says("user", "a"), says("user", " "), says("user", "b")) == [
        ("user", [BEGINS]),
        ("assistant", [text("Welcome")]),
        ("user", [text("a"), text("b")]),
    ]
    assert sent() == [("user", [BEGINS])]


def test_an_answer_to_go_on_with_ends_without_white_space() -> None:
    assert sent(says("user", "a"), says("assistant", "It is \n"))[-1] == ("assistant", [text("It is")])


THOUGHT = '{"type":"thinking","thinking":"hm \\u00e4","signature":"sig=="}'
HIDDEN = '{"type":"redacted_thinking","data":"x"}'
TURN = (
    says("user", "Say hi"),
    Message(
        "assistant",
        (
            Thinking("hm ä", "anthropic", msgspec.Raw(THOUGHT.encode())),
            Thinking("", "anthropic", msgspec.Raw(HIDDEN.encode())),
            Thinking("other", "gemini", msgspec.Raw(b'{"thought":true}')),
            Thinking("of the caller"),
            Text("Sure."),
            ToolCall(
                "call_1", "echo__echo", '{"text":  "hi"}', raw({"id": "toolu_1", "caller": {"type": "direct"}}), "anthropic"
            ),
            ToolCall("call|2", "echo__echo", "{oops"),
        ),
    ),
    Message("tool", (ToolResult("call_1", (Text("hi"),)), ToolResult("call|2", (Text("broken"),), is_error=True))),
)


def test_a_tool_turn_goes_back_as_it_was() -> None:
    assert sent(*TURN, tools=(ECHO,))[1:] == [
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "hm ä", "signature": "sig=="},
                {"type": "redacted_thinking", "data": "x"},
                text("Sure."),
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "echo__echo",
                    "input": {"text": "hi"},
                    "caller": {"type": "direct"},
                },
                {"type": "tool_use", "id": "call_2", "name": "echo__echo", "input": {"malformed_arguments": "{oops"}},
            ],
        ),
        (
            "user",
            [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("hi")]},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [text("broken")], "is_error": True},
            ],
        ),
    ]


def test_thinking_and_arguments_go_back_byte_for_byte() -> None:
    body = request_body(ModelAsk(model=NEWEST, messages=TURN, tools=(ECHO,)), "anthropic")
    assert f"[{THOUGHT},{HIDDEN},".encode() in body
    assert b'"input":{"text":  "hi"}' in body


def test_another_provider_gets_neither_the_thinking_nor_the_ids() -> None:
    body = request_body(ModelAsk(model=NEWEST, messages=TURN, tools=(ECHO,)), "reseller")
    assert b"sig==" not in body
    assert b"redacted" not in body
    assert b"toolu_1" not in body
    assert body.count(b'"call_1"') == 2


def test_earlier_thinking_can_be_left_out() -> None:
    kept = raw({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    turn = Message("assistant", (*TURN[1].parts[:2], Thinking("", "anthropic", kept), Text("Hi")))
    assert sent(TURN[0], turn, says("user", "Go on"), thinking=False)[1] == (
        "assistant",
        [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, text("Hi")],
    )


def test_a_cited_text_goes_back_with_its_citations_once() -> None:
    cited = {"type": "text", "text": "Green.", "citations": [{"type": "char_location"}]}
    turn = Message("assistant", (Text("Green."), Thinking("", "anthropic", raw(cited)), Text("Yes.")))
    assert sent(TURN[0], turn, says("user", "Go on"))[1] == ("assistant", [cited, text("Yes.")])
    assert sent(TURN[0], msgspec.structs.replace(turn, parts=(Text("Green."),)), says("user", "x"))[1][1] == [text("Green.")]


def test_results_hold_text_images_and_structured_content_and_come_first() -> None:
    results = Message(
        "tool",
        (
            ToolResult("c1", (Text("see"), Image(url="data:image/jpg;base64,AA=="))),
            ToolResult("c2", (), structured={"n": 1}),
            ToolResult("c3", (Text("no"), Image(url="https://example.com/a.png")), is_error=True),
            ToolResult("c4", (File(data="data:application/zip;base64,AA=="),)),
            ToolResult("c5"),
        ),
    )
    made = Message("assistant", tuple(ToolCall(f"c{n}", "t") for n in range(1, 6)))
    role, content = sent(says("user", "a"), made, says("system", "quick"), results, says("user", "b"), tools=(ECHO,))[-1]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AA=="}}
    assert (role, [block.get("content") for block in content[:5]]) == (
        "user",
        [
            [text("see"), image],
            [text('{"n":1}')],
            [text("no"), text("(with image)")],
            [text("(a file of type application/zip, which this model cannot read)")],
            None,
        ],
    )
    assert content[5:] == [text("<system>\nquick\n</system>"), text("b")]


def test_images_and_documents_are_blocks() -> None:
    parts = (
        Text("Look"),
        Image(url="https://example.com/a.png", detail="low"),
        Image(url="data:image/png;base64,AA=="),
        File(data="data:application/pdf;base64,BB==", name="a.pdf"),
        File(data="https://example.com/b.pdf", media_type="application/pdf"),
        File(data="data:text/csv;base64,YSxi", name="t.csv"),
        File(data="data:image/webp;base64,CC=="),
    )
    assert sent(Message("user", parts))[0][1] == [
        text("Look"),
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "BB=="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}, "title": "t.csv"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "CC=="}},
    ]


def test_a_file_that_no_model_takes_is_named_before_anything_is_sent() -> None:
    with pytest.raises(ModelFailure, match="takes no files of type audio/mpeg") as caught:
        sent(Message("user", (File(data="data:audio/mpeg;base64,AA=="),)))
    assert caught.value.code == "invalid_request"


def test_the_agents_tools_come_before_the_callers() -> None:
    own = CallerTool(name="lookup", description="Finds.", parameters={"type": "object"}, strict=True)
    choosy = CallerTool(name="choosy", parameters={"anyOf": [{"required": ["a"]}], "properties": {"a": {}}})
    body = without_marks(body_of(tools=(ECHO,), caller_tools=(own, CallerTool(name="bare"), choosy)))
    assert body["tools"] == [
        {"name": "echo__echo", "description": "Says it again.", "input_schema": SCHEMA},
        {
            "name": "lookup",
            "description": "Finds.",
            "strict": True,
            "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
        },
        {"name": "bare", "input_schema": {"type": "object", "properties": {}}},
        {
            "name": "choosy",
            "description": 'Its input matches {"anyOf":[{"required":["a"]}]}',
            "input_schema": {"type": "object", "properties": {"a": {}}},
        },
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("parameters", "choice"),
    [
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "echo__echo"}}}, {"type": "tool", "name": "echo__echo"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
    ],
)
def test_the_choice_of_tools_has_anthropics_words(parameters: dict[str, Any], choice: Any) -> None:
    assert body_of(tools=(ECHO,), parameters=parameters).get("tool_choice") == choice
    assert "tool_choice" not in body_of(parameters=parameters)


def test_allowed_tools_are_the_only_ones_offered() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    tools = (CallerTool(name="a"), CallerTool(name="b"))
    body = body_of(caller_tools=tools, parameters={"tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}})
    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]) == (["b"], {"type": "any"})


def test_a_conversation_with_calls_names_its_tools_even_when_none_is_offered() -> None:
    body = without_marks(body_of(messages=TURN))
    assert body["tools"] == [{"name": "echo__echo", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}


def test_force_is_refused_at_once_where_the_model_takes_none() -> None:
    with pytest.raises(ModelFailure, match="cannot be made to call a tool") as caught:
        body_of(model=NEWEST, tools=(ECHO,), parameters={"tool_choice": "required"})
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)


def marked(body: dict[str, Any]) -> list[str]:
    found = ["tools" for tool in body.get("tools", ()) if "cache_control" in tool]
    found += [f"system {at}" for at, block in enumerate(body.get("system", ())) if "cache_control" in block]
    for at, turn in enumerate(body["messages"]):
        found += [f"turn {at}.{place}" for place, block in enumerate(turn["content"]) if "cache_control" in block]
    return found


def test_what_comes_again_is_marked_for_the_cache() -> None:
    assert marked(body_of(system=("a", "b"), tools=(ECHO,))) == ["tools", "system 0", "turn 0.0"]
    long = body_of(messages=(*TURN, says("assistant", "Done."), says("user", "More")), tools=(ECHO,))
    assert marked(long) == ["tools", "turn 2.1", "turn 4.0"], "the mark of the last request, and the new one"


def test_the_prefix_is_byte_stable_between_the_turns_of_a_session() -> None:
    history: list[Message] = [
        *TURN,
        says("assistant", "Done."),
        says("user", "More"),
        says("assistant", "Well."),
        says("user", "!"),
    ]
    before: bytes | None = None
    for length in (1, 3, 5, 7):
        asked = ModelAsk(model=NEWEST, system=("Be brief.",), tools=(ECHO,), messages=tuple(history[:length]))
        body = msgspec.json.decode(request_body(asked, "anthropic"))
        turns = without_marks(body["messages"])
        prefix = msgspec.json.encode([without_marks(body["tools"]), without_marks(body["system"]), turns])[:-2]
        assert before is None or prefix.startswith(before)
        before = prefix
        assert len(marked(body)) <= 4
    first = request_body(ModelAsk(model=NEWEST, system=("a",), tools=(ECHO,), messages=TURN), "anthropic")
    assert request_body(ModelAsk(model=NEWEST, system=("a",), tools=(ECHO,), messages=TURN), "anthropic") == first
