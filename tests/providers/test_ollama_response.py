"""Ollama's answers as bytes, read without any network."""

import json
from typing import Any

import pytest

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Text, Thinking, ToolCall, Usage
from agentrt.messages import says as message
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure
from agentrt.providers.ollama_response import OllamaReader
from fixtures.wires import done_of, read_all, stream_of
from upstreams.ollama_upstream import call, calls, last, line, piece, says, streams

ASK = ModelAsk(model="qwen3", messages=(message("user", "Hello there"),), call_prefix="call_abc")


def body(*lines: dict[str, Any] | bytes) -> bytes:
    return b"".join(map(line, lines))


def read(*pieces: bytes) -> list[Chunk]:
    return read_all(OllamaReader("local", ASK, ["sk-verysecret"]), pieces)


def done(*pieces: bytes) -> Done:
    return done_of(read(*pieces))


def failure(*pieces: bytes) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        read(*pieces)
    return caught.value


def test_text_streams_and_the_whole_message_comes_last() -> None:
    assert read(stream_of(says("Grüße 🌍!", size=3))) == [
        TextDelta(text="Grü"),
        TextDelta(text="ße "),
        TextDelta(text="🌍!"),
        Done(message=message("assistant", "Grüße 🌍!"), usage=Usage(11, 7), stop="stop", model="qwen3:4b"),
    ]


def test_thinking_is_reasoning_and_calls_come_whole_with_our_ids() -> None:
    chunks = read(stream_of(calls(("echo", {"text": "Hi"}), ("add", {"a": 1, "b": 2}))))
    assert chunks[:-1] == [
        ReasoningDelta(text="I need a tool."),
        ToolCallDelta(index=0, id="call_abc000", name="echo", arguments='{"text": "Hi"}'),
        ToolCallDelta(index=1, id="call_abc001", name="add", arguments='{"a": 1, "b": 2}'),
    ]
    ended = chunks[-1]
    assert isinstance(ended, Done)
    assert ended.stop == "tool_calls"
    assert ended.message.parts == (
        Thinking("I need a tool.", "local"),
        ToolCall("call_abc000", "echo", '{"text": "Hi"}'),
        ToolCall("call_abc001", "add", '{"a": 1, "b": 2}'),
    )


def test_several_calls_may_come_in_one_line_and_with_ids() -> None:
    both = piece(tool_calls=[call("a", {}, "call_1"), call("b", {"x": 1}, "call_2")])
    made = done(body(both, last())).message.calls
    assert [(each.id, each.name, each.arguments) for each in made] == [
        ("call_abc000", "a", "{}"),
        ("call_abc001", "b", '{"x": 1}'),
    ]
    assert [(json.loads(bytes(each.opaque)), each.provider) for each in made] == [
        ({"id": "call_1"}, "local"),
        ({"id": "call_2"}, "local"),
    ]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ({"name": "f"}, "{}"),
        ({"name": "f", "arguments": None}, "{}"),
        ({"name": "f", "arguments": '{"a": 1}'}, '{"a": 1}'),
        ({"name": "f", "arguments": {"a": 1}, "index": 3}, '{"a": 1}'),
    ],
    ids=["none", "null", "as text", "as an object"],
)
def test_arguments_in_every_form(function: dict[str, Any], arguments: str) -> None:
    assert done(body(piece(tool_calls=[{"function": function}]), last())).message.calls[0].arguments == arguments


@pytest.mark.parametrize(("reason", "stop"), [("stop", "stop"), ("length", "length"), (None, "stop"), ("load", "stop")])
def test_why_the_model_stopped(reason: str | None, stop: str) -> None:
    assert done(body(piece("x"), last(reason))).stop == stop


def test_a_cut_call_is_no_call() -> None:
    assert done(body(piece(tool_calls=[call("a", {})]), last("length"))).stop == "length"


def test_text_in_the_last_line_counts() -> None:
    ended = done(body(piece("All"), last() | {"message": {"role": "assistant", "content": "."}}))
    assert ended.message.parts == (Text("All."),)


@pytest.mark.parametrize(
    "stream",
    [b"", body(piece("Half an answ")), body(piece("Half")) + b'{"model":"qwen3:4b","mess'],
    ids=["nothing", "no last line", "cut in a line"],
)
def test_an_answer_without_its_end_is_truncated(stream: bytes) -> None:
    why = failure(stream)
    assert (why.code, why.retryable) == ("truncated", True)


def test_a_last_line_without_its_line_feed_counts() -> None:
    assert done(body(piece("All."), last()).rstrip()).message.text == "All."


def test_what_comes_after_the_last_line_is_passed_over() -> None:
    assert done(body(piece("All."), last(), piece(" More."))).message.text == "All."


@pytest.mark.parametrize(
    "data",
    [b"{oops", b'{"message":{"content":"\xff"}}', b'{"done": 3}', b"[]"],
    ids=["bad json", "bad utf-8", "another shape", "a list"],
)
def test_what_cannot_be_understood_is_malformed(data: bytes) -> None:
    assert failure(body(piece("Half"), data)).code == "malformed"


def test_an_error_in_the_stream_is_a_failure() -> None:
    why = failure(body(piece("Half"), {"error": "an error was encountered while running the model: sk-verysecret"}))
    assert (why.code, why.retryable) == ("server_error", True)
    assert "while running the model" in why.message and "verysecret" not in why.message


def test_unknown_fields_are_passed_over() -> None:
    odd = piece("x") | {"remote_host": "https://ollama.com", "logprobs": []}
    assert done(body(odd, last() | {"context": [1, 2]})).message.text == "x"


@pytest.mark.parametrize(
    ("counted", "usage"),
    [
        (last(prompt=100, said=20), Usage(100, 20)),
        (last(prompt=None, said=20), Usage(3, 20, estimated=True)),
        (last(prompt=0, said=20), Usage(3, 20, estimated=True)),
        (last(prompt=None, said=None), Usage(3, 1, estimated=True)),
        (last(prompt=0, said=0), Usage(3, 1, estimated=True)),
    ],
)
def test_tokens_are_the_servers_or_said_to_be_estimated(counted: dict[str, Any], usage: Usage) -> None:
    assert done(body(piece("Hi"), counted)).usage == usage


def test_a_whole_answer_is_read_too() -> None:
    reader = OllamaReader("local", ASK)
    assert reader.whole(line(last() | {"message": {"role": "assistant", "content": "At once."}})) == [TextDelta(text="At once.")]
    assert reader.done().message.text == "At once."


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    reader = OllamaReader("local", ASK)
    with pytest.raises(ModelFailure, match="without end"):
        for _ in range(40):
            reader.feed(b"x" * 1024 * 1024)


def test_the_fixture_is_what_ollama_sends() -> None:
    assert stream_of(streams(piece("Hi"))).count(b"\n") == 2
