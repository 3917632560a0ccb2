"""Streams of the Responses API, byte by byte, as its documentation and the SDK's types have them."""

import json
from typing import Any

import msgspec
import pytest

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Text, Thinking, ToolCall, Usage
from agentrt.messages import says as said
from agentrt.providers import Chunk, Done, ModelAsk, ModelFailure
from agentrt.providers.responses_response import ResponsesReader
from fixtures.wires import stream_of
from upstreams.responses_upstream import (
    MODEL,
    call,
    ending,
    event,
    message,
    reasoning,
    refusal,
    response,
    streams,
    told,
    usage,
)

ASK = ModelAsk(model="gpt-5.5", messages=(said("user", "Hi"),), call_prefix="call_ours", first_call=5)
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "a"}}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def kept(item: dict[str, Any], *, shown: str = "", without: str = "") -> Thinking:
    return Thinking(shown, "acme", raw({name: value for name, value in item.items() if name != without}))


def read(body: bytes, size: int = 0) -> tuple[list[Chunk], Done]:
    reader = ResponsesReader("acme", ASK, ("sk-verysecret",))
    chunks: list[Chunk] = []
    for start in range(0, len(body), size or len(body)):
        if not reader.ended:
            chunks += reader.feed(body[start : start + (size or len(body))])
    if not reader.ended:
        chunks += reader.end()
    return chunks, reader.done()


def failure_of(body: bytes) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        read(body)
    return caught.value


def joined(chunks: list[Chunk], kind: Any) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, kind))


RICH = (
    reasoning("I look. 🌍", "Then I say."),
    SEARCH,
    message("Grüße aus 🌍", phase="commentary"),
    call(3, "echo", {"text": "ä\n"}),
    call(4, "lookup", "{broken"),
)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 0])
def test_a_stream_reads_the_same_wherever_it_is_cut(size: int, line_end: bytes) -> None:
    body = b": hello\n\n" + stream_of(streams(*RICH, size=3))
    chunks, done = read(body.replace(b"\n", line_end), size)
    assert joined(chunks, ReasoningDelta) == "I look. 🌍\n\nThen I say."
    assert joined(chunks, TextDelta) == "Grüße aus 🌍"
    shown = [chunk for chunk in chunks if isinstance(chunk, ToolCallDelta)]
    assert [(c.index, c.id, c.name) for c in shown if c.id] == [(0, "call_ours005", "echo"), (1, "call_ours006", "lookup")]
    assert "".join(c.arguments for c in shown if c.index == 1) == "{broken"
    assert done == Done(
        message=Message(
            "assistant",
            (
                kept(RICH[0], shown="I look. 🌍\n\nThen I say."),
                kept(SEARCH),
                Text("Grüße aus 🌍"),
                kept(RICH[2], without="content"),
                ToolCall("call_ours005", "echo", RICH[3]["arguments"], raw(own(3)), "acme"),
                ToolCall("call_ours006", "lookup", "{broken", raw(own(4)), "acme"),
            ),
        ),
        usage=Usage(11, 7, 3, 2, cache_write=4),
        stop="tool_calls",
        model=MODEL,
    )


def own(place: int) -> dict[str, Any]:
    return {"id": f"fc_up{place}", "call_id": f"call_up{place}", "status": "completed"}


def test_a_whole_answer_reads_like_its_stream() -> None:
    reader = ResponsesReader("acme", ASK)
    chunks = reader.whole(json.dumps(response("completed", list(RICH))).encode())
    streamed, done = read(stream_of(streams(*RICH)))
    assert reader.done() == done
    for kind in (TextDelta, ReasoningDelta):
        assert joined(chunks, kind) == joined(streamed, kind)


def test_a_text_with_annotations_or_a_refusal_is_kept_whole() -> None:
    cited = message("So it is.", annotations=({"type": "url_citation", "url": "https://example.com", "title": "a"},))
    assert read(stream_of(streams(cited)))[1].message.parts == (Text("So it is."), kept(cited))
    chunks, done = read(stream_of(streams(refusal("I will not."))))
    assert (joined(chunks, TextDelta), done.stop) == ("I will not.", "stop")
    assert done.message.parts == (Text("I will not."), kept(refusal("I will not.")))


def test_reasoning_that_nobody_could_look_up_is_shown_but_not_kept() -> None:
    _, done = read(stream_of(streams(reasoning("Hm.", encrypted=None), reasoning(encrypted=None), message("Yes."))))
    assert done.message.parts[:2] == (Thinking("Hm.", "acme"), Text("Yes."))


def test_reasoning_in_plain_words_is_kept() -> None:
    plain = {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm, well."}]}
    deltas = [
        {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": d} for d in ("Hm,", " well.")
    ]
    added, done = told(0, plain | {"content": []})[0], {"type": "response.output_item.done", "output_index": 0, "item": plain}
    body = b"".join(map(event, [added, *deltas, done, ending("completed", (plain,))]))
    chunks, whole = read(body)
    assert joined(chunks, ReasoningDelta) == "Hm, well."
    assert whole.message.parts == (kept(plain, shown="Hm, well."),)


@pytest.mark.parametrize(
    ("more", "stop"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({}, "length"),
    ],
)
def test_an_incomplete_answer_says_why(more: dict[str, Any], stop: str) -> None:
    _, done = read(stream_of(streams(message("Half"), status="incomplete", **more)))
    assert (done.message.text, done.stop) == ("Half", stop)


def test_servers_that_tell_less_are_understood() -> None:
    """No items begin, nothing is counted, `[DONE]` ends it."""
    item = call(1, "echo", {"a": 1})
    arguments = {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": item["arguments"]}
    events = [
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Well."},
        arguments,
        {"type": "response.output_item.done", "output_index": 1, "item": item},
        {"type": "response.something_new", "delta": {"not": "text"}, "output_index": 7},
        {"type": "response.completed", "response": {"status": "completed"}},
    ]
    chunks, done = read(b"".join(map(event, events)) + b"data: [DONE]\n\n")
    assert [chunk for chunk in chunks if isinstance(chunk, ToolCallDelta)] == [
        ToolCallDelta(index=0, id="call_ours005", name="echo", arguments='{"a": 1}')
    ]
    assert (done.message.text, done.stop, done.usage.estimated, done.model) == ("Well.", "tool_calls", True, "gpt-5.5")


def test_items_that_only_the_last_event_has_are_not_lost() -> None:
    chunks, done = read(event(ending("completed", (message("All at once."),))))
    assert joined(chunks, TextDelta) == done.message.text == "All at once."


FAILED = {"code": "server_error", "message": "The model died with sk-verysecret."}


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (event(ending("failed", (), error=FAILED)), "server_error", "died with [removed]"),
        (event(ending("failed", (), error={"code": "rate_limit_exceeded", "message": "slow"})), "rate_limit", "slow"),
        (event(ending("failed", ())), "server_error", "broke off"),
        (event({"type": "error", "code": "server_error", "message": "Oops", "param": None}), "server_error", "Oops"),
        (event({"type": "error", "error": {"type": "invalid_request_error", "message": "Bad"}}), "invalid_request", "Bad"),
        (b'data: {"error": {"message": "gone", "code": 503}}\n\n', "overloaded", "gone"),
        (event(ending("completed", (), status="cancelled")), "truncated", "cancelled"),
        (b"data: {oops\n\n", "malformed", "not an answer"),
        (b"data: []\n\n", "malformed", "not an answer"),
        (b"data: {}\n\n", "malformed", "without a type"),
        (b'data: {"type":"response.completed","response":"x"}\n\n', "malformed", "not an answer"),
        (b'data: {"type":"response.output_text.delta","delta":"\xff"}\n\n', "malformed", "not an answer"),
        (b"", "truncated", "before the answer was complete"),
        (event(ending("completed", ()))[:-40], "truncated", "before the answer was complete"),
        (b"data: [DONE]\n\n", "truncated", "before the answer was complete"),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(end: bytes, code: str, words: str) -> None:
    failure = failure_of(stream_of(streams(message("Half an answer"), status=None)) + end)
    assert failure.code == code
    assert words in failure.message


def test_an_answer_may_end_without_its_last_blank_line() -> None:
    assert read(stream_of(streams(message("All.")))[:-2])[1].message.text == "All."


def test_the_last_word_on_usage_holds() -> None:
    _, done = read(stream_of(streams(message("a"), usage=usage(given=100, output=9, cached=0, reasoning=0, written=0))))
    assert done.usage == Usage(100, 9)


def test_sound_and_images_are_counted_as_such() -> None:
    counted = usage(given=100, output=50) | {
        "input_tokens_details": {"image_tokens": 30, "audio_tokens": 20},
        "output_tokens_details": {"image_tokens": 40, "audio_tokens": 5},
    }
    _, done = read(stream_of(streams(message("a"), usage=counted)))
    assert done.usage == Usage(100, 50, audio_input=20, audio_output=5, image_input=30, image_output=40)
