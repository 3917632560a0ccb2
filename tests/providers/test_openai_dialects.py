"""What those who copied OpenAI's chat completions made of them, read without any network."""

from typing import Any

import pytest

from agentrt.events import TextDelta, ToolCallDelta
from agentrt.messages import ToolCall
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure
from agentrt.providers.openai_response import OpenAIReader
from upstreams.openai_upstream import DONE, chunk, event, usage


def read(*events: dict[str, Any] | bytes, done: bool = True) -> list[Chunk]:
    reader = OpenAIReader("acme", ModelAsk(model="m", call_prefix="call_"))
    out: list[Chunk] = []
    for each in events:
        out += reader.feed(event(each))
    if done:
        out += reader.feed(DONE)
    return [*out, *reader.end(), reader.done()]


def end_of(*events: dict[str, Any] | bytes, done: bool = True) -> Done:
    last = read(*events, done=done)[-1]
    assert isinstance(last, Done)
    return last


def call(**function: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]})


def whole(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The last event of those who end a stream with the whole answer."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"} | message}
    return {"object": "chat.completion", "choices": [choice], "usage": usage()} | more


@pytest.mark.parametrize(
    "events",
    [
        (chunk({"role": "assistant"}), chunk({"content": "ab"}, ""), chunk({}, "stop")),
        (chunk({"content": "ab"}, "stop"), chunk({}, "stop")),
        (chunk({"content": "ab"}), {"choices": None, "usage": usage()}),
        ({"choices": [{"index": None, "delta": {"content": "ab"}, "finish_reason": None}]},),
        ({"choices": [{"delta": {"content": "ab"}}]},),
        ({"choices": [{"index": 0, "delta": None}]}, chunk({"content": "ab"}, "stop")),
        ({"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "model": ""}, chunk({"content": "ab"}, "stop")),
        (
            chunk({"content": "ab"}),
            {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}]},
            chunk({}, "stop"),
        ),
        (b"", chunk({"content": "ab", "annotations": [{"type": "url_citation"}], "audio": {"id": "a"}}), chunk({}, "stop")),
    ],
    ids=["empty reason", "two reasons", "null choices", "null index", "no index", "null delta", "azure", "azure later", "odds"],
)
def test_the_answer_is_understood_all_the_same(events: tuple[Any, ...]) -> None:
    read_ = end_of(*events)
    assert (read_.message.text, read_.stop, read_.message.calls) == ("ab", "stop", ())


def test_an_answer_that_is_told_once_more_at_the_end_is_not_doubled() -> None:
    said = read(
        chunk({"reasoning_content": "Hm."}), chunk({"content": "ab"}), whole({"content": "abc", "reasoning_content": "Hm."})
    )
    assert [piece.text for piece in said if isinstance(piece, TextDelta)] == ["ab", "c"]
    called = end_of(
        call(name="look", arguments="{}"), whole({"content": None, "tool_calls": [{"id": "a", "function": {"name": "look"}}]})
    )
    assert (len(called.message.calls), called.stop) == (1, "tool_calls")
    refused = end_of(chunk({"refusal": "No."}), whole({"content": None, "refusal": "No."}))
    assert (refused.message.text, refused.refused) == ("No.", True)
    assert end_of(chunk({"content": "ab"}), whole({"content": "something else"})).message.text == "ab"


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "network_error", "abort", "error"])
def test_an_answer_that_the_provider_broke_off_is_no_answer(reason: str) -> None:
    with pytest.raises(ModelFailure) as failed:
        read(chunk({"content": "Half an ans"}), chunk({}, reason))
    assert (failed.value.code, failed.value.retryable) == ("server_error", True)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("model_length", "length"),
        ("sensitive", "content_filter"),
        ("tool_calls", "stop"),
        ("function_call", "stop"),
        ("new", "stop"),
    ],
)
def test_other_reasons_have_our_word(reason: str, stop: str) -> None:
    assert end_of(chunk({"content": "a"}), chunk({}, reason)).stop == stop


def test_a_stream_that_only_says_that_it_is_over_gave_no_answer() -> None:
    with pytest.raises(ModelFailure, match="before the answer was complete"):
        read()
    with pytest.raises(ModelFailure, match="before the answer was complete"):
        read({"choices": [], "usage": usage()})


def test_a_call_in_the_old_form_is_a_call() -> None:
    pieces = ({"name": "look", "arguments": '{"a"'}, {"arguments": ":1}"})
    read_ = end_of(*(chunk({"function_call": piece}) for piece in pieces), chunk({}, "function_call"))
    assert (read_.message.calls, read_.stop) == ((ToolCall("call_000", "look", '{"a":1}'),), "tool_calls")


def test_a_piece_that_calls_nothing_is_no_call() -> None:
    nothing = chunk({"content": "ab", "tool_calls": [{"index": 0, "function": None}]})
    assert (end_of(nothing, chunk({}, "stop")).message.calls, end_of(nothing).stop) == ((), "stop")


def test_arguments_that_are_null_are_an_empty_object() -> None:
    chunks = read(call(name="look", arguments=None), chunk({}, "tool_calls"))
    assert [piece for piece in chunks if isinstance(piece, ToolCallDelta)] == [ToolCallDelta(index=0, id="call_000", name="look")]
    assert end_of(call(name="look", arguments=None)).message.calls[0].arguments == "{}"
