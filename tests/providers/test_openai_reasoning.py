"""Reasoning in the OpenAI dialect: it goes back to who gave it, as it came, where its provider wants it."""

import json
from itertools import pairwise
from typing import Any

import pytest

from agentrt.messages import Message, Thinking, ToolCall, ToolResult
from agentrt.messages import Text as Words
from agentrt.messages import says as message
from agentrt.providers import Done, ModelAsk, ModelFailure
from agentrt.providers.openai_request import request_body
from agentrt.providers.openai_response import OpenAIReader
from upstreams.openai_upstream import OpenAIUpstream, refuses, says, streams

HI = message("user", "Hi")
LOOK = {"tool_calls": [{"index": 0, "id": "theirs", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}
# as DeepSeek says it
DEMAND = "Missing `reasoning_content` field in the assistant message at message index 1. For more information, please refer to …"


def read(*deltas: dict[str, Any], provider: str = "acme") -> Message:
    reader = OpenAIReader(provider, ModelAsk(model="m", call_prefix="call_"))
    for frame in streams(*deltas).frames:
        assert isinstance(frame, bytes)
        reader.feed(frame)
    return reader.done().message


def result(call_id: str = "call_000") -> Message:
    return Message("tool", (ToolResult(call_id, (Words("a tree"),)),))


def said(*messages: Message, provider: str = "acme", reasoning: Any = "kept") -> list[dict[str, Any]]:
    """What of the model's goes back: the fields of its messages, without those that all have."""
    body = json.loads(request_body(ModelAsk(model="m", messages=messages), provider, reasoning))
    plain = ("role", "content", "tool_calls")
    return [{k: v for k, v in m.items() if k not in plain} for m in body["messages"] if m["role"] == "assistant"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_goes_back_under_its_own_name_once_a_tool_was_called(field: str) -> None:
    asked = read({field: "Let me "}, {field: "look. 🌍"}, LOOK)
    answered = read({field: "A tree."}, {"content": "A tree!"})
    story = (HI, asked, result(), answered)
    assert said(*story) == [{field: "Let me look. 🌍"}, {field: "A tree."}]
    assert said(*story, provider="another") == said(*story, reasoning="none") == [{}, {}]


def test_a_turn_without_tools_takes_no_reasoning_along() -> None:
    thought = read({"reasoning_content": "Hm."}, {"content": "Yes."})
    asked = read({"reasoning_content": "Look."}, LOOK)
    assert said(HI, thought, HI, asked, result()) == [{}, {"reasoning_content": "Look."}]
    assert said(HI, asked, result(), HI, thought) == [{"reasoning_content": "Look."}, {}]


def test_a_call_without_any_thought_says_that_there_was_none_where_the_provider_did() -> None:
    assert said(HI, read({"reasoning_content": ""}, LOOK), result()) == [{"reasoning_content": ""}]
    assert said(HI, read({"reasoning_content": None}, LOOK), result()) == [{}]
    assert read({"reasoning_content": ""}, {"content": "Yes."}).parts == (Words("Yes."),)


def test_details_of_reasoning_go_back_as_they_came_with_their_texts_joined() -> None:
    signed = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1", "signature": "c2ln"}
    sealed = {"type": "reasoning.encrypted", "index": 1, "id": "rs_1", "data": "gAAAA"}
    asked = read(
        {"reasoning": "Let me ", "reasoning_details": [signed | {"text": "Let me ", "signature": None}]},
        {"reasoning": "look.", "reasoning_details": [signed | {"text": "look.", "signature": None}]},
        {"reasoning_details": [signed | {"text": None}, sealed]},
        LOOK,
    )
    assert said(HI, asked, result()) == [
        {"reasoning": "Let me look.", "reasoning_details": [signed | {"text": "Let me look."}, sealed]}
    ]


def test_details_alone_are_shown_too() -> None:
    details = [{"type": "reasoning.summary", "index": 0, "summary": "I look."}]
    assert read({"reasoning_details": details}, LOOK).parts[0].text == "I look."  # type: ignore[union-attr]
    assert read({"reasoning_details": ["odd"], "content": "Yes."}).parts == (Words("Yes."),)


def test_what_came_with_a_call_goes_back_with_it() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
    asked = read({"tool_calls": [LOOK["tool_calls"][0] | extra]})
    for provider, expected in (("acme", extra), ("another", {})):
        body = json.loads(request_body(ModelAsk(model="m", messages=(HI, asked, result())), provider))
        (call,) = body["messages"][1]["tool_calls"]
        assert {k: v for k, v in call.items() if k not in ("id", "type", "function")} == expected


def test_the_prefix_stays_the_same_when_reasoning_goes_back() -> None:
    asked, answered = read({"reasoning_content": "Look."}, LOOK), read({"reasoning_content": "Ah."}, {"content": "!"})
    turns = (HI, asked, result(), answered, HI)
    bodies = [request_body(ModelAsk(model="m", messages=turns[:n]), "acme", "kept") for n in (1, 3, 5)]
    for earlier, later in pairwise(bodies):
        assert later.startswith(earlier.removesuffix(b"]}"))


async def answer(client: Any, *messages: Message) -> Done:
    ask = ModelAsk(model="deepseek-chat", messages=messages)
    return [chunk async for chunks in client.stream(ask) for chunk in chunks][-1]


def asked_with(upstream: OpenAIUpstream) -> list[Any]:
    return [[m.get("reasoning_content") for m in chat.body["messages"]] for chat in upstream.chats]


@pytest.mark.anyio
async def test_a_provider_that_demands_reasoning_gets_it_even_for_what_another_one_called(
    acme: Any, upstream: OpenAIUpstream
) -> None:
    others = Message("assistant", (Thinking("secret", "another"), ToolCall("call_000", "look", "{}")))
    brought = Message("assistant", (Thinking("by the caller"), ToolCall("call_001", "look", "{}")))
    story = (HI, others, result(), brought, result("call_001"))
    upstream.script(refuses(400, DEMAND), says("Yes."))
    async with acme() as client:
        assert (await answer(client, *story)).message.text == "Yes."
        await answer(client, *story)
    demanded = [None, "", None, "by the caller", None]
    assert asked_with(upstream) == [[None] * 5, demanded, demanded], "what was learned is remembered"


@pytest.mark.anyio
async def test_a_provider_that_takes_no_reasoning_is_asked_without_it(acme: Any, upstream: OpenAIUpstream) -> None:
    story = (HI, read({"reasoning_content": "Look."}, LOOK), result())
    upstream.script(refuses(400, "'messages.1' : property 'reasoning_content' is unsupported"), says("Yes."))
    async with acme() as client:
        assert (await answer(client, *story)).message.text == "Yes."
        await answer(client, *story)
    assert asked_with(upstream) == [[None, "Look.", None], [None] * 3, [None] * 3]


@pytest.mark.anyio
async def test_other_refusals_are_not_asked_twice(acme: Any, upstream: OpenAIUpstream) -> None:
    story = (HI, read({"reasoning_content": "Look."}, LOOK), result())
    async with acme() as client:
        for refusal in (refuses(400, "reasoning_effort is unknown"), refuses(429, "no reasoning now"), refuses(400, "no")):
            upstream.script(refusal)
            with pytest.raises(ModelFailure):
                await answer(client, *story)
    assert len(upstream.chats) == 3
