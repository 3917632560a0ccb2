"""Gemini's answers as bytes, read without any network."""

import json
from typing import Any

import msgspec
import pytest

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Image, Message, Text, Thinking, ToolCall, Usage
from agentrt.messages import says as message
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure
from agentrt.providers.gemini_response import GeminiReader
from fixtures.wires import done_of, read_all, stream_of
from upstreams.gemini_upstream import call, calls, event, piece, says, streams, usage

ASK = ModelAsk(model="gemini-3-flash", messages=(message("user", "Hello there"),), call_prefix="call_abc")
SIGNED = {"text": "", "thoughtSignature": "c2lnbmVkIHRleHQ="}


def body(*events: dict[str, Any] | bytes) -> bytes:
    return b"".join(map(event, events))


def read(*pieces: bytes) -> list[Chunk]:
    return read_all(GeminiReader("google", ASK, ["sk-verysecret"]), pieces)


def done(*pieces: bytes) -> Done:
    return done_of(read(*pieces))


def failure(*pieces: bytes) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        read(*pieces)
    return caught.value


def kept(part: Thinking) -> Any:
    return json.loads(bytes(part.opaque))


def test_text_streams_and_the_whole_message_comes_last_with_its_signature() -> None:
    chunks = read(stream_of(says("Grüße 🌍!", size=3)))
    assert chunks[:-1] == [TextDelta(text="Grü"), TextDelta(text="ße "), TextDelta(text="🌍!")]
    last = chunks[-1]
    assert isinstance(last, Done)
    assert last.message.parts[0] == Text("Grüße 🌍!")
    assert kept(last.message.parts[1]) == SIGNED
    assert (last.usage, last.stop, last.model) == (
        Usage(input=11, output=7, cached=3, reasoning=2),
        "stop",
        "gemini-3-flash-preview",
    )


def test_thoughts_are_reasoning_and_calls_without_ids_get_ours() -> None:
    chunks = read(stream_of(calls(("echo", {"text": "Hi"}), ("add", {"a": 1, "b": 2}))))
    assert chunks[:-1] == [
        ReasoningDelta(text="I need a tool."),
        ToolCallDelta(index=0, id="call_abc000", name="echo", arguments='{"text": "Hi"}'),
        ToolCallDelta(index=1, id="call_abc001", name="add", arguments='{"a": 1, "b": 2}'),
    ]
    last = chunks[-1]
    assert isinstance(last, Done)
    assert last.stop == "tool_calls"
    thought, first, second = last.message.parts
    assert thought == Thinking("I need a tool.", "google")
    assert json.loads(bytes(first.opaque)) == {"thoughtSignature": "c2lnbmVkIGNhbGw="}
    assert first.provider == "google"
    assert second == ToolCall("call_abc001", "add", '{"a": 1, "b": 2}')


def test_a_call_without_anything_to_keep_can_be_written_down_and_read_again() -> None:
    said = done(body(piece({"functionCall": {"name": "echo", "args": {"text": "ä"}}}, finish="STOP"))).message
    assert msgspec.json.decode(msgspec.json.encode(said), type=Message) == said


def test_an_id_of_theirs_is_kept_beside_ours() -> None:
    made = done(body(piece(call("echo", {}, id_="fc_1"), finish="STOP"))).message.calls[0]
    assert (made.id, json.loads(bytes(made.opaque)), made.arguments) == ("call_abc000", {"id": "fc_1"}, "{}")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert done(body(piece({"functionCall": {"name": "now"}}, finish="STOP"))).message.calls[0].arguments == "{}"


def test_the_bytes_of_arguments_are_not_touched() -> None:
    made = b'{"functionCall":{"name":"f","args":{"x": 1.0,  "y":"\\u00e4"}}}'
    raw = b'{"candidates":[{"content":{"parts":[' + made + b']},"finishReason":"STOP"}]}'
    assert done(body(raw)).message.calls[0].arguments == '{"x": 1.0,  "y":"\\u00e4"}'


def test_signed_parts_are_kept_byte_for_byte_where_they_stood() -> None:
    thought = b'{"text": "Hm.", "thought": true, "thoughtSignature": "dGg\\u003d"}'
    said = b'{"thoughtSignature":"dHg=",  "text":"there"}'
    frames = [
        b'{"candidates":[{"content":{"parts":[{"text":"I ","thought":true}]}}]}',
        b'{"candidates":[{"content":{"parts":[' + thought + b',{"text":"Hello "},' + said + b']},"finishReason":"STOP"}]}',
    ]
    chunks = read(body(*frames))
    assert [type(chunk) for chunk in chunks[:-1]] == [ReasoningDelta, ReasoningDelta, TextDelta, TextDelta]
    parts = chunks[-1].message.parts
    assert parts == (
        Thinking("I ", "google"),
        Thinking("Hm.", "google", msgspec.Raw(thought)),
        Text("Hello "),
        Text("there"),
        Thinking("", "google", msgspec.Raw(said)),
    )
    assert chunks[-1].message.text == "Hello there"


def test_code_that_the_model_ran_is_shown_and_kept() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "print('```')\n"}}
    result = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "```\n"}}
    last = done(body(piece({"text": "Let me see."}), piece(code), piece(result), piece({"text": "Done."}, finish="STOP")))
    shown = "Let me see.\n````python\nprint('```')\n````\n\n````\n```\n````\nDone."
    assert last.message.text == shown
    assert [kept(part) for part in last.message.parts if isinstance(part, Thinking)] == [code, result]


def test_an_image_of_the_model_is_part_of_its_message() -> None:
    made = {"inlineData": {"mimeType": "image/png", "data": "aWJt"}}
    assert done(body(piece({"text": "Here:"}, made, finish="STOP"))).message.parts == (
        Text("Here:"),
        Image(url="data:image/png;base64,aWJt", media_type="image/png"),
    )


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", "stop"),
        ("FUNCTION_CALL", "stop"),
        ("MAX_TOKENS", "length"),
        *((reason, "content_filter") for reason in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
        ("ESCALATION", "content_filter"),
    ],
)
def test_why_the_model_stopped(reason: str, stop: str) -> None:
    assert done(body(piece({"text": "x"}, finish=reason))).stop == stop


def test_a_filtered_answer_may_have_no_content_at_all() -> None:
    last = done(body({"candidates": [{"finishReason": "SAFETY", "index": 0, "safetyRatings": []}]}))
    assert (last.stop, last.message.parts) == ("content_filter", ())


def test_the_last_reason_counts_where_every_piece_has_one() -> None:
    stream = body(piece({"text": "a"}, finish="STOP"), piece({"text": "b"}, finish="STOP"), piece(finish="MAX_TOKENS"))
    last = done(stream)
    assert (last.message.text, last.stop) == ("ab", "length")


@pytest.mark.parametrize(
    ("reason", "code", "retryable"),
    [
        ("MALFORMED_FUNCTION_CALL", "malformed", True),
        ("UNEXPECTED_TOOL_CALL", "malformed", True),
        ("MISSING_THOUGHT_SIGNATURE", "invalid_request", False),
        ("LANGUAGE", "invalid_request", False),
        ("PUP_LIMITED_DISABLED", "permission", False),
        ("OTHER", "server_error", True),
        ("A_REASON_OF_TOMORROW", "server_error", True),
    ],
)
def test_an_answer_that_was_broken_off_is_a_failure(reason: str, code: str, retryable: bool) -> None:
    broken = piece({"text": "Half"}, finish=reason)
    broken["candidates"][0]["finishMessage"] = "Malformed function call: call(sk-verysecret"
    why = failure(body(broken))
    assert (why.code, why.retryable) == (code, retryable)
    assert reason in why.message and "Malformed function call" in why.message and "verysecret" not in why.message


def test_a_prompt_that_was_blocked_is_a_refusal() -> None:
    why = failure(body({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(candidates=None)}))
    assert (why.code, why.retryable) == ("content_filter", False)
    assert "PROHIBITED_CONTENT" in why.message


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        body(piece({"text": "Half an answ"})),
        body(piece({"text": "Half an answ"}), {"usageMetadata": usage()}),
        body({"usageMetadata": usage(), "modelVersion": "m"}),
        body({"candidates": []}),
        body(piece({"text": "Half"}, finish="FINISH_REASON_UNSPECIFIED")),
        body(piece({"text": "Half"})) + b'data: {"candidates":[{"content":{"parts":[{"te',
    ],
    ids=["nothing", "no reason", "usage only after it", "usage alone", "no candidates", "unspecified", "cut in an event"],
)
def test_an_answer_without_its_end_is_truncated(stream: bytes) -> None:
    why = failure(stream)
    assert (why.code, why.retryable) == ("truncated", True)


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert done(body(piece({"text": "All."}, finish="STOP")).rstrip()).message.text == "All."


@pytest.mark.parametrize(
    "data",
    [
        b"{oops",
        b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}',
        b'{"candidates": 3}',
    ],
    ids=["bad json", "bad utf-8", "another shape"],
)
def test_what_cannot_be_understood_is_malformed(data: bytes) -> None:
    assert failure(body(data)).code == "malformed"


@pytest.mark.parametrize(
    ("status", "named", "code", "retryable"),
    [
        (503, "UNAVAILABLE", "overloaded", True),
        (429, "RESOURCE_EXHAUSTED", "rate_limit", True),
        (500, "INTERNAL", "server_error", True),
        (400, "INVALID_ARGUMENT", "invalid_request", False),
    ],
)
def test_an_error_in_the_stream_is_a_failure(status: int, named: str, code: str, retryable: bool) -> None:
    error = {"error": {"code": status, "message": "The model is overloaded.", "status": named}}
    why = failure(body(piece({"text": "Half"}), error))
    assert (why.code, why.retryable) == (code, retryable)
    assert "The model is overloaded." in why.message


def test_unknown_fields_and_parts_are_passed_over() -> None:
    odd: Any = piece({"text": "x", "videoMetadata": {}}, {"toolCall": {"a": 1}}, finish="STOP") | {"newField": [1]}
    odd["candidates"][0] |= {"groundingMetadata": {"webSearchQueries": ["q"]}, "citationMetadata": {}, "avgLogprobs": -0.1}
    assert done(body(odd)).message.parts == (Text("x"),)


def test_other_candidates_are_passed_over() -> None:
    both = piece({"text": "mine"}, finish="STOP")
    both["candidates"].append({"index": 1, "content": {"parts": [{"text": "other"}]}, "finishReason": "SAFETY"})
    last = done(body(both))
    assert (last.message.text, last.stop) == ("mine", "stop")


def test_tokens_are_counted_by_kind() -> None:
    counted = usage(100, 20, 30, 64) | {
        "toolUsePromptTokenCount": 9,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 35},
            {"modality": "AUDIO", "tokenCount": 25},
            {"modality": "IMAGE", "tokenCount": 40},
        ],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 15}],
    }
    assert done(body(piece({"text": "x"}, finish="STOP", usageMetadata=counted))).usage == Usage(
        input=109, output=50, cached=64, reasoning=30, audio_input=25, image_input=40, image_output=15
    )


@pytest.mark.parametrize("metadata", [None, {}, {"promptTokenCount": 0, "candidatesTokenCount": 0}])
def test_tokens_that_nobody_counted_are_estimated_and_said_to_be(metadata: Any) -> None:
    counted = done(body(piece({"text": "Hello there"}, finish="STOP", usageMetadata=metadata))).usage
    assert counted.estimated and counted.input > 0 and counted.output > 0


def test_a_whole_answer_is_read_as_an_array_of_pieces() -> None:
    reader = GeminiReader("google", ASK)
    frames = [frame.removeprefix(b"data: ") for frame in streams({"text": "a"}, {"text": "b"}).frames]
    assert reader.whole(b"[" + b",".join(frames) + b"]") == [TextDelta(text="a"), TextDelta(text="b")]
    assert reader.done().message.text == "ab"


def test_an_error_as_an_array_is_a_failure() -> None:
    with pytest.raises(ModelFailure, match="slow down"):
        GeminiReader("google", ASK).whole(b'[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]')


def test_an_event_without_end_does_not_fill_the_memory() -> None:
    reader = GeminiReader("google", ASK)
    with pytest.raises(ModelFailure, match="without end"):
        for _ in range(40):
            reader.feed(b"data: " + b"x" * 1024 * 1024)
