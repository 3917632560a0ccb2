"""Answers of the Messages API as bytes, read without any network."""

import json
import sys
from types import FrameType
from typing import Any

import msgspec
import pytest

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Part, Text, Thinking, ToolCall, Usage
from agentrt.messages import says as message
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure
from agentrt.providers.anthropic_response import AnthropicReader
from agentrt.providers.openai_response import OpenAIReader
from fixtures.wires import done_of, read_all, stream_of
from upstreams.anthropic_upstream import (
    MODEL,
    PING,
    SIGNATURE,
    block,
    calls,
    event,
    finish,
    joined,
    redacted,
    says,
    start,
    streams,
    text,
    thinking,
    tool_use,
    usage,
)
from upstreams.http_upstream import Reply
from upstreams.openai_upstream import says as openai_says

ASK = ModelAsk(model="claude-sonnet-5-5", messages=(message("user", "Hello there"),), call_prefix="call_abc")
CITED = {
    "type": "char_location",
    "cited_text": "The grass is green.",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 19,
}


def body(*events: list[dict[str, Any]] | dict[str, Any]) -> bytes:
    flat = [one for each in events for one in ([each] if isinstance(each, dict) else each)]
    return b"".join(map(event, flat))


def read(*pieces: bytes, ask: ModelAsk = ASK) -> list[Chunk]:
    return read_all(AnthropicReader("acme", ask, ["sk-verysecret"]), pieces)


def done(*pieces: bytes) -> Done:
    return done_of(read(*pieces))


def shown(part: Part) -> tuple[str, ...]:
    """A part in words: what is kept of it verbatim, too."""
    match part:
        case Thinking():
            return "thinking", part.text, bytes(part.opaque).decode()
        case ToolCall():
            return "call", part.id, part.name, part.arguments, bytes(part.opaque).decode()
        case _:
            return "text", getattr(part, "text", "")


def parts_of(*blocks: list[dict[str, Any]], reason: str = "end_turn") -> list[tuple[str, ...]]:
    return [shown(part) for part in done(stream_of(streams(*blocks, reason=reason))).message.parts]


EVERYTHING = streams(
    thinking(0, "Let me ", "see: ä."),
    redacted(1),
    text(2, "Grüße 🌍!", " Looking."),
    tool_use(3, "echo", {"text": "ä🌍"}),
    tool_use(4, "add", {"a": 1}),
    reason="tool_use",
)


def test_text_streams_and_the_whole_message_comes_last() -> None:
    assert read(stream_of(says("Grüße 🌍!", size=3))) == [
        TextDelta(text="Grü"),
        TextDelta(text="ße "),
        TextDelta(text="🌍!"),
        Done(
            message=message("assistant", "Grüße 🌍!"),
            usage=Usage(input=18, output=7, cached=3, cache_write=4),
            stop="stop",
            model=MODEL,
        ),
    ]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_the_answer_is_the_same_wherever_the_bytes_are_cut(line_end: bytes) -> None:
    stream = stream_of(EVERYTHING).replace(b"\n", line_end)
    whole = read(stream)
    for cut in range(len(stream)):
        assert read(stream[:cut], stream[cut:]) == whole, cut
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == whole


def test_thinking_is_shown_and_kept_with_its_signature() -> None:
    chunks = read(stream_of(EVERYTHING))
    assert chunks[:4] == [
        ReasoningDelta(text="Let me "),
        ReasoningDelta(text="see: ä."),
        TextDelta(text="Grüße 🌍!"),
        TextDelta(text=" Looking."),
    ]
    last = chunks[-1]
    assert isinstance(last, Done)
    assert [shown(part) for part in last.message.parts] == [
        ("thinking", "Let me see: ä.", f'{{"type":"thinking","thinking":"Let me see: ä.","signature":"{SIGNATURE}"}}'),
        ("thinking", "", '{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix/LafPsn4="}'),
        ("text", "Grüße 🌍! Looking."),
        ("call", "call_abc000", "echo", '{"text": "ä🌍"}', '{"id":"toolu_upstream3"}'),
        ("call", "call_abc001", "add", '{"a": 1}', '{"id":"toolu_upstream4"}'),
    ]
    assert {part.provider for part in last.message.parts if isinstance(part, Thinking | ToolCall)} == {"acme"}


def test_tool_calls_get_our_ids_and_their_arguments_byte_for_byte() -> None:
    chunks = read(stream_of(calls(("echo", {"text": "Hi"}), ("add", {"a": 1}))), ask=msgspec.structs.replace(ASK, first_call=7))
    assert [chunk for chunk in chunks if isinstance(chunk, ToolCallDelta)] == [
        ToolCallDelta(index=0, id="call_abc007", name="echo"),
        ToolCallDelta(index=0, arguments='{"text"'),
        ToolCallDelta(index=0, arguments=': "Hi"}'),
        ToolCallDelta(index=1, id="call_abc008", name="add"),
        ToolCallDelta(index=1, arguments='{"a"'),
        ToolCallDelta(index=1, arguments=": 1}"),
    ]
    last = chunks[-1]
    assert isinstance(last, Done)
    assert last.stop == "tool_calls"


def test_a_call_without_input_has_an_empty_object() -> None:
    assert parts_of(tool_use(0, "now", ""), reason="tool_use") == [
        ("call", "call_abc000", "now", "{}", '{"id":"toolu_upstream0"}')
    ]


def test_a_call_whose_json_was_cut_off_stays_as_it_was_written() -> None:
    last = done(stream_of(streams(tool_use(0, "echo", '{"text": "ha'), reason="max_tokens")))
    assert (last.stop, last.message.calls[0].arguments) == ("length", '{"text": "ha')


def test_what_a_call_carries_beside_its_input_is_kept() -> None:
    call = tool_use(0, "echo", {}, caller={"type": "direct"})
    assert parts_of(call, reason="tool_use")[0][4] == '{"id":"toolu_upstream0","caller":{"type":"direct"}}'


def test_blocks_that_we_do_not_know_are_kept_raw_and_in_their_place() -> None:
    found = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"url": "https://example.com", "x": None}],
    }
    assert parts_of(
        text(0, "I look."),
        tool_use(1, "web_search", {"query": "grass"}, kind="server_tool_use"),
        block(2, found),
        block(3, {"type": "holographic", "beam": [1]}, {"type": "beam_delta", "beam": 2}),
        text(4, "Green."),
    ) == [
        ("text", "I look."),
        ("thinking", "", '{"type":"server_tool_use","id":"toolu_upstream1","name":"web_search","input":{"query":"grass"}}'),
        ("thinking", "", json.dumps(found, separators=(",", ":"))),
        ("thinking", "", '{"type":"holographic","beam":[1]}'),
        ("text", "Green."),
    ]


def test_citations_are_kept_beside_the_text_that_has_them() -> None:
    cited = {"type": "text", "text": "Green, it says.", "citations": [CITED]}
    assert parts_of(text(0, "Green, ", "it says.", cites=(CITED,))) == [
        ("text", "Green, it says."),
        ("thinking", "", json.dumps(cited, separators=(",", ":"))),
    ]


def test_thinking_that_is_not_shown_is_kept_all_the_same() -> None:
    chunks = read(stream_of(streams(thinking(0), text(1, "Hi"))))
    assert chunks[0] == TextDelta(text="Hi")
    last = chunks[-1]
    assert isinstance(last, Done)
    assert shown(last.message.parts[0]) == ("thinking", "", f'{{"type":"thinking","thinking":"","signature":"{SIGNATURE}"}}')


def test_thinking_that_was_cut_off_before_its_signature_never_goes_back() -> None:
    assert parts_of(thinking(0, "Let me", signature=""), reason="max_tokens") == [("thinking", "Let me", "")]


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "stop"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_why_the_model_stopped_has_our_word(reason: str, stop: str) -> None:
    assert done(stream_of(streams(text(0, "Hi"), reason=reason))).stop == stop


def test_calls_are_a_reason_to_stop_whatever_is_said() -> None:
    assert done(stream_of(streams(tool_use(0, "a", {}), reason="end_turn"))).stop == "tool_calls"


def test_a_refusal_without_a_word_says_why() -> None:
    why = {"type": "refusal", "category": "bio", "explanation": "This could do harm."}
    chunks = read(body(start(), finish("refusal", stop_details=why)))
    assert chunks[0] == TextDelta(text="This could do harm.")
    last = chunks[-1]
    assert isinstance(last, Done)
    assert (last.stop, last.message) == ("content_filter", message("assistant", "This could do harm."))
    spoken = done(body(start(), text(0, "I will not."), finish("refusal", stop_details=why)))
    assert spoken.message.text == "I will not."


def test_usage_grows_and_the_last_word_on_each_count_holds() -> None:
    later = finish(counted={"output_tokens": 15, "output_tokens_details": {"thinking_tokens": 9}})
    assert done(body(start(), text(0, "Hi"), later)).usage == Usage(18, 15, 3, 9, 4)
    all_new = finish(counted=usage(given=100, output=20, read=0, written=0))
    assert done(body(start(), text(0, "Hi"), all_new)).usage == Usage(100, 20)


@pytest.mark.parametrize("counted", [{}, usage(given=0, output=0, read=0, written=0)], ids=["not counted", "zeros"])
def test_without_any_count_tokens_are_estimated(counted: Any) -> None:
    silent = done(body(start(usage=counted or None), text(0, "word" * 10), finish(counted=counted)))
    assert silent.usage == Usage(input=3, output=10, estimated=True)


def test_pings_comments_and_unknown_events_say_nothing() -> None:
    stream = body(start(), PING, {"type": "weather_report", "sun": True}, text(0, "Hi"), PING, finish())
    assert done(b": hello\n\n" + stream + b": bye\n\n").message.text == "Hi"


def test_deltas_of_a_block_that_never_began_are_understood_where_they_can_be() -> None:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    assert done(body(start(), delta, finish())).message.text == "Hi"
    lost = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}
    assert failure_of(body(start(), lost)).code == "malformed"


def test_blocks_may_take_turns() -> None:
    one, two = text(0, "a", "b"), text(1, "c", "d")
    assert done(body(start(), one[0], two[0], one[1], two[1], one[2], two[2], finish())).message.parts == (Text("ab"), Text("cd"))


def test_a_stop_reason_is_enough_where_the_end_is_missing() -> None:
    stream = body(start(), text(0, "Hi"), finish()[:1])
    assert done(stream).message.text == "Hi"
    assert done(stream[:-1]).message.text == "Hi"


def failure_of(*pieces: bytes) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        read(*pieces)
    return caught.value


@pytest.mark.parametrize("rest", [b"", b'event: content_block_delta\ndata: {"type":"content_bl', b"event: ping\n"])
def test_a_stream_that_ends_too_early_is_an_error_and_no_short_answer(rest: bytes) -> None:
    failure = failure_of(body(start(), text(0, "The answer is")) + rest)
    assert (failure.code, failure.retryable) == ("truncated", True)


@pytest.mark.parametrize(
    "garbage",
    [
        b"{not json}",
        b'{"type": 7}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xff\xfe"}}',
        b"null",
        b'"text"',
        b"[]",
        b'{"choices":[]}',
    ],
    ids=["syntax", "type", "utf-8", "null", "string", "list", "another dialect"],
)
def test_what_is_no_event_is_malformed(garbage: bytes) -> None:
    failure = failure_of(body(start()), b"data: " + garbage + b"\n\n")
    assert failure.code == "malformed"
    assert "acme" in failure.message


@pytest.mark.parametrize(
    ("kind", "code", "retryable"),
    [
        ("overloaded_error", "overloaded", True),
        ("rate_limit_error", "rate_limit", True),
        ("api_error", "server_error", True),
        ("timeout_error", "timeout", True),
        ("invalid_request_error", "invalid_request", False),
        ("authentication_error", "authentication", False),
        ("permission_error", "permission", False),
        ("billing_error", "permission", False),
        ("not_found_error", "not_found", False),
        ("request_too_large", "invalid_request", False),
    ],
)
def test_an_error_in_the_stream_is_a_failure_of_its_kind(kind: str, code: str, retryable: bool) -> None:
    said = {"type": "error", "error": {"details": None, "type": kind, "message": "Because sk-verysecret"}, "request_id": "req_1"}
    failure = failure_of(body(start(), text(0, "Half")), event(said))
    assert (failure.code, failure.retryable) == (code, retryable)
    assert "Because" in failure.message
    assert "verysecret" not in failure.message


@pytest.mark.parametrize("reply", [says("Grüße 🌍!"), EVERYTHING, calls(("echo", {"text": "ä"}))], ids=["text", "all", "calls"])
def test_a_whole_answer_instead_of_a_stream_is_read_the_same(reply: Any) -> None:
    reader = AnthropicReader("acme", ASK)
    chunks = reader.whole(json.dumps(joined(reply)).encode())
    assert reader.ended
    streamed = done(stream_of(reply))
    ours = reader.done()
    assert (ours.usage, ours.stop, ours.model) == (streamed.usage, streamed.stop, streamed.model)
    for our, theirs in zip(ours.message.parts, streamed.message.parts, strict=True):
        if isinstance(our, ToolCall) and isinstance(theirs, ToolCall):
            assert json.loads(our.arguments) == json.loads(theirs.arguments)
            our, theirs = (msgspec.structs.replace(call, arguments="") for call in (our, theirs))
        assert our == theirs
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)) == streamed.message.text
    assert tuple(chunk.id for chunk in chunks if isinstance(chunk, ToolCallDelta)) == tuple(c.id for c in ours.message.calls)


def test_a_whole_error_is_an_error() -> None:
    with pytest.raises(ModelFailure, match="Overloaded") as caught:
        AnthropicReader("acme", ASK).whole(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert caught.value.retryable


def test_a_paused_turn_goes_on_in_the_next_stream_as_one_answer() -> None:
    reader = AnthropicReader("acme", ASK)
    first = streams(text(0, "I look."), tool_use(1, "web_search", {"query": "a"}, kind="server_tool_use"), reason="pause_turn")
    second = streams(text(0, " Found it."), tool_use(1, "echo", {"text": "b"}), reason="tool_use")
    chunks = reader.feed(stream_of(first))
    assert reader.paused
    assert [type(part) for part in reader.message().parts] == [Text, Thinking]
    reader.resume()
    assert not reader.complete
    chunks += reader.feed(stream_of(second))
    last = reader.done()
    assert [chunk.text for chunk in chunks if isinstance(chunk, TextDelta)] == ["I look.", " Found it."]
    assert (last.message.text, last.stop) == ("I look. Found it.", "tool_calls")
    assert [call.id for call in last.message.calls] == ["call_abc000"]
    assert last.usage == Usage(36, 14, 6, 0, 8)


def cost_of(reader: Any, reply: Reply) -> float:
    """Instructions of the interpreter per event: the same on every machine."""
    frames, reading, spent = [frame for frame in reply.frames if isinstance(frame, bytes)], reader("acme", ASK), 0

    def count(frame: FrameType, what: str, arg: object) -> Any:
        nonlocal spent
        frame.f_trace_opcodes = True
        spent += what == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        for frame in frames:
            reading.feed(frame)
    finally:
        sys.settrace(before)
    return spent / len(frames)


def test_an_event_costs_no_more_than_one_and_a_half_of_openais() -> None:
    assert cost_of(AnthropicReader, says("word" * 500)) < 1.5 * cost_of(OpenAIReader, openai_says("word" * 500))


def test_what_was_read_survives_the_journal() -> None:
    whole = done(stream_of(EVERYTHING)).message
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Message) == whole
