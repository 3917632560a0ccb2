"""Answers as bytes, read without any network."""

from typing import Any

import msgspec
import pytest

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Text, Thinking, ToolCall, Usage
from agentrt.messages import says as message
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure
from agentrt.providers.openai_response import OpenAIReader
from fixtures.wires import done_of, read_all, stream_of
from upstreams.openai_upstream import DONE, calls, chunk, event, says, streams, usage

ASK = ModelAsk(model="gpt-4o", messages=(message("user", "Hello there"),), call_prefix="call_abc")


def body(*events: dict[str, Any] | bytes) -> bytes:
    return b"".join(map(event, events))


def read(*pieces: bytes) -> list[Chunk]:
    return read_all(OpenAIReader("acme", ASK, ["sk-verysecret"]), pieces)


def done(*pieces: bytes) -> Done:
    return done_of(read(*pieces))


def call_deltas(chunks: list[Chunk]) -> list[ToolCallDelta]:
    return [chunk for chunk in chunks if isinstance(chunk, ToolCallDelta)]


def test_text_streams_and_the_whole_message_comes_last() -> None:
    chunks = read(stream_of(says("Grüße 🌍!", size=3)))
    assert chunks == [
        TextDelta(text="Grü"),
        TextDelta(text="ße "),
        TextDelta(text="🌍!"),
        Done(
            message=message("assistant", "Grüße 🌍!"),
            usage=Usage(input=11, output=7, cached=3, reasoning=2),
            stop="stop",
            model="gpt-4o-mini-2024-07-18",
        ),
    ]


def test_tool_calls_get_our_ids_and_their_arguments_byte_for_byte() -> None:
    chunks = read(stream_of(calls(("echo", {"text": "Hi"}), ("add", {"a": 1, "b": 2}))))
    assert call_deltas(chunks) == [
        ToolCallDelta(index=0, id="call_abc000", name="echo"),
        ToolCallDelta(index=0, arguments='{"text"'),
        ToolCallDelta(index=0, arguments=': "Hi"}'),
        ToolCallDelta(index=1, id="call_abc001", name="add"),
        ToolCallDelta(index=1, arguments='{"a": 1,'),
        ToolCallDelta(index=1, arguments=' "b": 2}'),
    ]
    last = chunks[-1]
    assert isinstance(last, Done)
    assert last.stop == "tool_calls"
    assert last.message.calls == (
        ToolCall("call_abc000", "echo", '{"text": "Hi"}'),
        ToolCall("call_abc001", "add", '{"a": 1, "b": 2}'),
    )


ODD_CALLS: dict[str, tuple[list[list[dict[str, Any]]], list[tuple[str, str]]]] = {
    "no ids": (
        [
            [
                {"index": 0, "function": {"name": "a", "arguments": "{}"}},
                {"index": 1, "function": {"name": "b", "arguments": "{}"}},
            ]
        ],
        [("a", "{}"), ("b", "{}")],
    ),
    "no index": (
        [
            [{"id": "x", "function": {"name": "a", "arguments": '{"q":'}}],
            [{"function": {"arguments": "1}"}}],
            [{"id": "y", "function": {"name": "b", "arguments": "{}"}}],
        ],
        [("a", '{"q":1}'), ("b", "{}")],
    ),
    "neither id nor index, each whole": (
        [[{"function": {"name": "a", "arguments": "{}"}}], [{"function": {"name": "b", "arguments": "{}"}}]],
        [("a", "{}"), ("b", "{}")],
    ),
    "id and name repeated": (
        [
            [{"index": 0, "id": "x", "function": {"name": "a", "arguments": '{"q"'}}],
            [{"index": 0, "id": "x", "function": {"name": "a", "arguments": ":1}"}}],
        ],
        [("a", '{"q":1}')],
    ),
    "every call numbered 0": (
        [
            [{"index": 0, "id": "x", "function": {"name": "a", "arguments": "{}"}}],
            [{"index": 0, "id": "y", "function": {"name": "a", "arguments": '{"q":2}'}}],
        ],
        [("a", "{}"), ("a", '{"q":2}')],
    ),
    "interleaved": (
        [
            [{"index": 0, "id": "x", "function": {"name": "a", "arguments": "{"}}],
            [{"index": 1, "id": "y", "function": {"name": "b", "arguments": "["}}],
            [{"index": 0, "function": {"arguments": "}"}}, {"index": 1, "function": {"arguments": "]"}}],
        ],
        [("a", "{}"), ("b", "[]")],
    ),
    "arguments as an object": ([[{"index": 0, "id": "x", "function": {"name": "a", "arguments": {"q": 1}}}]], [("a", '{"q":1}')]),
    "no arguments": ([[{"index": 0, "id": "x", "function": {"name": "a"}}]], [("a", "{}")]),
    "name after the id": (
        [[{"index": 0, "id": "x"}], [{"index": 0, "function": {"name": "a", "arguments": "{}"}}]],
        [("a", "{}")],
    ),
}


@pytest.mark.parametrize(("pieces", "expected"), ODD_CALLS.values(), ids=ODD_CALLS.keys())
def test_calls_are_understood_however_a_dialect_cuts_them(
    pieces: list[list[dict[str, Any]]], expected: list[tuple[str, str]]
) -> None:
    chunks = read(*[event(chunk({"tool_calls": piece})) for piece in pieces], event(chunk({}, "stop")), DONE)
    last = chunks[-1]
    assert isinstance(last, Done)
    assert [(call.name, call.arguments) for call in last.message.calls] == expected
    assert last.stop == "tool_calls"
    deltas = call_deltas(chunks)
    for place, call in enumerate(last.message.calls):
        own = [delta for delta in deltas if delta.index == place]
        assert [delta.id for delta in own if delta.id] == [f"call_abc{place:03d}"]
        assert ("".join(delta.arguments for delta in own) or "{}") == call.arguments


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_streams_apart_from_the_text(field: str) -> None:
    chunks = read(stream_of(streams({field: "Let me "}, {field: "think."}, {"content": "4"})))
    assert chunks[:3] == [ReasoningDelta(text="Let me "), ReasoningDelta(text="think."), TextDelta(text="4")]
    assert isinstance(chunks[3], Done)
    thought, text = chunks[3].message.parts
    assert isinstance(thought, Thinking) and (thought.text, thought.provider, text) == ("Let me think.", "acme", Text("4"))


def test_content_in_typed_parts_is_text_and_reasoning() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
    assert read(stream_of(streams({"content": parts})))[:2] == [ReasoningDelta(text="Hm."), TextDelta(text="Yes.")]


def test_a_refusal_is_shown_as_what_the_model_said() -> None:
    assert done(stream_of(streams({"refusal": "I cannot "}, {"refusal": "do that."}))).message.text == "I cannot do that."


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("eos", "stop"), ("max_tokens", "length")],
)
def test_reasons_to_stop(theirs: str, ours: str) -> None:
    assert done(stream_of(streams({"content": "a"}, finish=theirs))).stop == ours


def test_usage_may_come_with_the_last_piece_or_with_every_one() -> None:
    pieces = [chunk({"content": "a"}, usage=usage(5, 1)), chunk({"content": "b"}, "stop", usage=usage(5, 2, 0, 0)), b"[DONE]"]
    assert done(body(*pieces)).usage == Usage(input=5, output=2)


def test_sound_images_and_what_a_cache_took_are_counted_as_such() -> None:
    counted = usage(100, 50, 0, 0) | {
        "prompt_tokens_details": {"audio_tokens": 20, "image_tokens": 30, "cache_write_tokens": 10},
        "completion_tokens_details": {"audio_tokens": 5, "image_tokens": 40},
    }
    read = done(body(chunk({"content": "a"}, "stop", usage=counted), b"[DONE]")).usage
    assert read == Usage(100, 50, cache_write=10, audio_input=20, audio_output=5, image_input=30, image_output=40)


def test_usage_is_estimated_where_none_is_reported() -> None:
    assert done(body(chunk({"content": "word" * 10}, "stop"), b"[DONE]")).usage == Usage(input=3, output=10, estimated=True)


def test_a_finish_reason_is_enough_where_done_is_missing() -> None:
    assert done(body(chunk({"content": "a"}, "stop"))).message.text == "a"


def test_done_is_enough_where_the_finish_reason_is_missing() -> None:
    assert done(body(chunk({"content": "a"}), b"[DONE]")).stop == "stop"
    assert done(body(chunk({"content": "a"})) + b"data: [DONE]").message.text == "a"


def failure_of(*pieces: bytes) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        read(*pieces)
    return caught.value


@pytest.mark.parametrize("rest", [b"", b'data: {"choices":[{"del', b": ping\n\n"])
def test_a_stream_that_ends_too_early_is_an_error_and_no_short_answer(rest: bytes) -> None:
    failure = failure_of(event(chunk({"content": "The answer is"})) + rest)
    assert (failure.code, failure.retryable) == ("truncated", True)


@pytest.mark.parametrize(
    "garbage",
    [b"{not json}", b'{"choices": 7}', b'{"choices":[{"delta":{"content":"\xff\xfe"}}]}', b"null", b'"text"'],
    ids=["syntax", "type", "utf-8", "null", "string"],
)
def test_what_is_no_chat_completion_is_malformed(garbage: bytes) -> None:
    failure = failure_of(event(chunk({"content": "a"})), b"data: " + garbage + b"\n\n")
    assert failure.code == "malformed"
    assert "acme" in failure.message


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        ({"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}, "rate_limit", True),
        ({"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"}, "rate_limit", False),
        ({"message": "Too long", "type": "invalid_request_error", "code": "context_length_exceeded"}, "context_length", False),
        ({"message": "The server had an error", "type": "server_error", "code": None}, "server_error", True),
        ({"message": "Provider down", "code": 503}, "overloaded", True),
        ("engine died", "server_error", True),
    ],
)
def test_an_error_in_the_stream_is_a_failure_of_its_kind(error: Any, code: str, retryable: bool) -> None:
    failure = failure_of(event(chunk({"content": "a"})), event({"error": error}))
    assert (failure.code, failure.retryable) == (code, retryable)
    text = error if isinstance(error, str) else error["message"]
    assert text in failure.message


def test_no_secret_is_repeated_from_an_error() -> None:
    failure = failure_of(event({"error": {"message": "Bad key sk-verysecret or Bearer abcdefgh or sk-proj-1234567890"}}))
    assert "verysecret" not in failure.message
    assert "abcdefgh" not in failure.message
    assert "1234567890" not in failure.message


def test_a_whole_answer_instead_of_a_stream_is_read_the_same() -> None:
    call = {"id": "x", "type": "function", "function": {"name": "a", "arguments": "{}"}}
    whole = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi", "tool_calls": [call]}, "finish_reason": "tool_calls"}
        ]
    }
    reader = OpenAIReader("acme", ASK)
    assert reader.whole(msgspec.json.encode(whole | {"usage": usage(4, 2, 0, 0)}))[0] == TextDelta(text="Hi")
    last = reader.done()
    assert (last.message.calls, last.usage) == ((ToolCall("call_abc000", "a", "{}"),), Usage(4, 2))


def test_a_whole_answer_needs_no_reason_to_stop() -> None:
    reader = OpenAIReader("acme", ASK)
    reader.whole(b'{"choices":[{"message":{"content":"Hi"}}]}')
    assert (reader.done().message.text, reader.done().stop) == ("Hi", "stop")
