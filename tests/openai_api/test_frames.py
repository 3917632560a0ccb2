import json

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agentrt.events import (
    Delta,
    FinalText,
    ModelCompleted,
    ModelFailed,
    ModelRetrying,
    ModelStarted,
    ReasoningDelta,
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    TextDelta,
    TextDiscarded,
    ToolCallDelta,
    ToolCompleted,
    ToolStarted,
)
from agentrt.kernel import Conflict, Exhausted, Invalid, NotFound, TimedOut, Unavailable, UpstreamFailed
from agentrt.messages import Message, Text, Thinking, ToolCall, ToolResult, Usage
from agentrt.openai_api.completion import Collector
from agentrt.openai_api.failures import failure_of
from agentrt.openai_api.frames import Frames

RUN = "run_" + "0" * 32
NASTY = 'a"b\\c\n\r\x00\x1f\x7f\x85\u2028\u2029</script>😀 data: [DONE]\n\n'


class Log:
    """Numbers records and times them a millisecond apart."""

    def __init__(self):
        self.seq, self.at = 0, 1_000_000

    def record(self, event, after_ms=1):
        self.seq, self.at = self.seq + 1, self.at + int(after_ms * 1000)
        return Record(RUN, self.seq, self.at, event)

    def delta(self, event, after_ms=1):
        self.at += int(after_ms * 1000)
        return Delta(RUN, self.at, 1, -1, event)


def completed(*parts, usage=None, stop="stop"):
    return ModelCompleted(step=1, message=Message("assistant", parts), usage=usage or Usage(), stop=stop)


def frames(**options):
    return Frames(answer_id="chatcmpl-1", created=1700000000, model="default", **options)


def parsed(data: bytes):
    """The chunks of a stream, each judged by the SDK's own type; `[DONE]` as it is."""
    assert data.endswith(b"\n\n")
    out = []
    for event in data.split(b"\n\n")[:-1]:
        assert event.startswith(b"data: ")
        assert len(event.decode().splitlines()) == 1, "an event is one line for every reader of lines"
        body = event[6:]
        if body == b"[DONE]":
            out.append("[DONE]")
            continue
        raw = json.loads(body)
        out.append(ChatCompletionChunk.model_validate(raw) if "error" not in raw else raw)
    return out


def deltas(chunks):
    return [c.choices[0].delta.model_dump(exclude_none=True) for c in chunks if c != "[DONE]" and c.choices]


def test_a_plain_answer_is_role_text_finish_done():
    log, stream = Log(), frames()
    out = stream.render([log.record(ModelStarted(step=1, model="m", boot="b"))])
    assert out == b""
    out += stream.render([log.delta(TextDelta(text="Hel")), log.delta(TextDelta(text="lo"))])
    out += stream.render([log.record(completed(Text("Hello"))), log.record(FinalText(text="Hello"))])
    out += stream.render([log.record(RunCompleted())]) + stream.finish({})
    chunks = parsed(out)
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}]
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None, None, None, "stop"]
    assert {(c.id, c.created, c.model, c.object) for c in chunks[:-1]} == {
        ("chatcmpl-1", 1700000000, "default", "chat.completion.chunk")
    }
    assert chunks[-1] == "[DONE]"


@pytest.mark.parametrize("text", [NASTY, "\ud83d", "\ude00x\ud83d", "é" * 3, "plain"])
def test_any_text_makes_one_valid_line(text):
    log, stream = Log(), frames(usage=True)
    [_, chunk] = parsed(stream.render([log.delta(TextDelta(text=text))]))
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert chunk.choices[0].delta.content == expected
    assert chunk.usage is None


def test_a_model_name_cannot_break_out_of_its_string():
    stream = Frames(answer_id="chatcmpl-1", created=1, model='x"}\n\ndata: {')
    assert parsed(stream.render([Log().delta(TextDelta(text="a"))]))[0].model == 'x"}\n\ndata: {'


def test_reasoning_goes_beside_the_content():
    log, stream = Log(), frames()
    out = stream.render([log.delta(ReasoningDelta(text="hm\u2028")), log.delta(TextDelta(text="4"))])
    assert deltas(parsed(out)) == [{"role": "assistant", "content": ""}, {"reasoning_content": "hm\u2028"}, {"content": "4"}]


def test_usage_comes_once_in_a_last_chunk_without_choices():
    log, stream = Log(), frames(usage=True)
    out = stream.render(
        [
            log.record(ModelFailed(step=1, code="overloaded", message="m", usage=Usage(1, 1))),
            log.delta(TextDelta(text="a")),
            log.record(completed(Text("a"), usage=Usage(10, 5, 3, 2))),
            log.record(FinalText(text="a")),
            log.record(RunCompleted(finish_reason="length")),
        ]
    )
    *before, usage, done = parsed(out + stream.finish({"run_id": RUN}))
    assert done == "[DONE]"
    assert all(c.usage is None for c in before)
    assert before[-1].choices[0].finish_reason == "length"
    assert usage.choices == []
    assert (usage.usage.prompt_tokens, usage.usage.completion_tokens, usage.usage.total_tokens) == (11, 6, 17)
    assert usage.usage.prompt_tokens_details.cached_tokens == 3
    assert usage.usage.completion_tokens_details.reasoning_tokens == 2
    assert usage.model_extra["agentrt"] == {"run_id": RUN}


def test_only_the_callers_calls_are_shown_and_counted_from_zero():
    log, stream = Log(), frames(caller_tools=["weather", "news"])
    own = ToolCall("call_0", "clock", "{}")
    calls = (ToolCall("call_1", "weather", '{"city":"Rome"}'), ToolCall("call_2", "news", "{}"))
    out = stream.render(
        [
            log.record(ModelStarted(step=1, model="m", boot="b")),
            log.delta(TextDelta(text="")),
            log.delta(TextDelta(text="Let me see.")),
            log.delta(ToolCallDelta(index=0, id="call_00", name="clock")),
            log.delta(ToolCallDelta(index=0, arguments="{}")),
            log.record(completed(Text("Let me see."), own)),
            log.record(ToolStarted(call=own, step=1, effect="read", boot="b")),
            log.record(ToolCompleted(call_id="call_0", name="clock", result=ToolResult("call_0"))),
            log.record(ModelStarted(step=2, model="m", boot="b")),
            log.delta(TextDelta(text="And now.")),
            log.delta(ToolCallDelta(index=0, id="call_0", name="clock")),
            log.delta(ToolCallDelta(index=1, id="call_1", name="weather", arguments='{"city"')),
            log.delta(ToolCallDelta(index=2, id="call_2", name="news")),
            log.delta(ToolCallDelta(index=1, arguments=':"Rome"}')),
            log.delta(ToolCallDelta(index=0, arguments="{}")),
            log.delta(ToolCallDelta(index=2, arguments="{}")),
            log.record(completed(Text("And now."), own, *calls, stop="tool_calls")),
            log.record(FinalText(text="And now.")),
            log.record(RunCompleted(finish_reason="tool_calls")),
        ]
    )
    chunks = parsed(out + stream.finish({}))
    said = deltas(chunks)
    assert "".join(d.get("content", "") for d in said) == "Let me see.\n\nAnd now."
    pieces = [p for d in said for p in d.get("tool_calls", ())]
    assert [p["index"] for p in pieces] == [0, 1, 0, 1]
    assert [p["id"] for p in pieces if "id" in p] == ["call_1", "call_2"]
    assert [p["function"]["name"] for p in pieces if "name" in p["function"]] == ["weather", "news"]
    assert "".join(p["function"]["arguments"] for p in pieces if p["index"] == 0) == '{"city":"Rome"}'
    assert [c.choices[0].finish_reason for c in chunks[:-1] if c.choices[0].finish_reason] == ["tool_calls"]


def test_calls_that_were_not_streamed_are_shown_whole():
    log, stream = Log(), frames(caller_tools=["weather"])
    out = stream.render([log.record(completed(ToolCall("call_1", "weather", '{"a":1}')))])
    role, call = deltas(parsed(out))
    assert role == {"role": "assistant"}
    assert call["tool_calls"] == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
    ]


def test_the_result_that_ends_a_task_is_said_after_what_the_models_said():
    log, stream = Log(), frames()
    out = stream.render([log.delta(TextDelta(text="Working.")), log.record(FinalText(text="42"))])
    assert "".join(d.get("content", "") for d in deltas(parsed(out))) == "Working.\n\n42"
    silent = frames().render([log.record(FinalText(text="42"))])
    assert deltas(parsed(silent)) == [{"role": "assistant", "content": ""}, {"content": "42"}]


def test_an_empty_answer_still_has_role_and_finish():
    log, stream = Log(), frames()
    out = stream.render([log.record(completed()), log.record(FinalText(text="")), log.record(RunCompleted())])
    assert deltas(parsed(out + stream.finish({}))) == [{"role": "assistant", "content": ""}, {}]


def test_progress_is_told_in_valid_chunks_when_asked_for():
    log, stream = Log(), frames(events=True, usage=True)
    call = ToolCall("call_0", "clock", '{"zone":"\u2028"}')
    started = log.record(ToolStarted(call=call, step=1, effect="read", boot="b"))
    [chunk] = parsed(stream.render([started]))
    assert chunk.choices == []
    told = chunk.model_extra["agentrt"]
    assert (told["seq"], told["type"], told["run_id"], told["name"]) == (1, "tool_started", RUN, "clock")
    assert told["at"].endswith("Z")


def test_a_failure_after_the_head_is_an_error_event_and_no_done():
    assert parsed(Frames.fail(b'{"error":{"message":"m"}}')) == [{"error": {"message": "m"}}]


def test_the_end_is_remembered():
    log, stream = Log(), frames()
    stream.render([log.record(RunFailed(code="overloaded", message="m"))])
    assert isinstance(stream.end, RunFailed)


def test_the_sdk_joins_the_stream_into_the_same_message_as_the_whole_answer():
    log, stream, whole = Log(), frames(caller_tools=["f"]), Collector(["f"])
    call = ToolCall("call_1", "f", '{"x":"é"}')
    batch = [
        log.record(ModelStarted(step=1, model="m", boot="b")),
        log.delta(ReasoningDelta(text="hm")),
        log.delta(TextDelta(text=NASTY)),
        log.delta(ToolCallDelta(index=0, id="call_1", name="f", arguments='{"x":"é"}')),
        log.record(completed(Thinking("hm"), Text(NASTY), call, usage=Usage(3, 4))),
        log.record(FinalText(text=NASTY)),
        log.record(RunCompleted(finish_reason="tool_calls")),
    ]
    said = deltas(parsed(stream.render(batch) + stream.finish({})))
    whole.see(batch)
    answer = ChatCompletion.model_validate_json(whole.body(answer_id="chatcmpl-1", created=1, model="default"))
    message = answer.choices[0].message
    assert message.content == "".join(d.get("content", "") for d in said) == NASTY
    assert message.model_extra["reasoning_content"] == "hm"
    assert message.tool_calls[0].function.arguments == '{"x":"é"}'
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.total_tokens == 7


def test_what_was_said_around_a_tool_is_one_text_with_a_blank_line_between():
    log, whole = Log(), Collector()
    whole.see([log.record(completed(Text("Let me see."))), log.record(completed(Text("4.")))])
    whole.see([log.record(FinalText(text="4.")), log.record(RunCompleted())])
    answer = ChatCompletion.model_validate_json(whole.body(answer_id="chatcmpl-1", created=1, model="m"))
    assert answer.choices[0].message.content == "Let me see.\n\n4."


def test_an_answer_of_calls_alone_has_null_content():
    log, whole = Log(), Collector(["f"])
    whole.see([log.record(completed(ToolCall("c", "f", "{}"))), log.record(FinalText(text="")), log.record(RunCompleted())])
    answer = ChatCompletion.model_validate_json(whole.body(answer_id="chatcmpl-1", created=1, model="m"))
    assert answer.choices[0].message.content is None


@pytest.mark.parametrize(
    ("end", "kind", "code"),
    [
        (RunFailed(code="authentication", message="m"), UpstreamFailed, "provider_authentication"),
        (RunFailed(code="rate_limit", message="m"), Exhausted, "rate_limit_exceeded"),
        (RunFailed(code="timeout", message="m"), TimedOut, "provider_timeout"),
        (RunFailed(code="timeout_connect", message="m"), TimedOut, "provider_timeout"),
        (RunFailed(code="timeout_first_token", message="m"), TimedOut, "provider_timeout"),
        (RunFailed(code="timeout_idle", message="m"), TimedOut, "provider_timeout"),
        (RunFailed(code="timeout_total", message="m"), TimedOut, "provider_timeout"),
        (RunFailed(code="no_model_for_request", message="m"), Invalid, "no_model_for_request"),
        (RunFailed(code="overloaded", message="m"), Unavailable, "provider_overloaded"),
        (RunFailed(code="context_length", message="m"), Invalid, "context_length_exceeded"),
        (RunFailed(code="not_found", message="m"), NotFound, "model_not_found"),
        (RunFailed(code="truncated", message="m"), UpstreamFailed, "truncated"),
        (RunCancelled(), Conflict, "run_cancelled"),
        (None, Unavailable, "server_shutting_down"),
    ],
)
def test_every_way_to_end_without_an_answer_has_its_error(end, kind, code):
    error = failure_of(end)
    assert (type(error), error.code) == (kind, code)
    assert (error.retry_after_s is not None) == (kind in (Exhausted, Unavailable))


def breaks_off(usage=None):
    return ModelRetrying(step=1, attempt=1, code="connection", message="m", wait_s=0, duration_ms=1, usage=usage or Usage())


@pytest.mark.parametrize(
    ("shown", "broken"),
    [
        ([], False),
        ([ReasoningDelta(text="hm")], False),
        ([ToolCallDelta(index=0, id="c", name="ours", arguments="{}")], False),
        ([TextDelta(text="Half")], True),
        ([ToolCallDelta(index=0, id="c", name="theirs", arguments="{")], True),
    ],
    ids=["nothing", "reasoning", "our own call", "text", "the caller's call"],
)
def test_what_was_sent_and_is_void_breaks_the_stream_and_nothing_follows(shown, broken):
    log, stream = Log(), frames(caller_tools=["theirs"])
    stream.render([log.record(ModelStarted(step=1, model="m", boot="b")), *map(log.delta, shown)])
    void = [log.record(breaks_off()), log.record(TextDiscarded(step=1, reason="model_failed"))]
    out = stream.render([*void, log.delta(TextDelta(text="Whole"))])
    assert stream.broken is broken
    assert (b"Whole" in out) is not broken


def test_the_text_of_an_earlier_call_of_the_run_is_not_void():
    log, stream = Log(), frames()
    stream.render([log.record(ModelStarted(step=1, model="m", boot="b")), log.delta(TextDelta(text="First."))])
    stream.render([log.record(completed(Text("First."))), log.record(ModelStarted(step=2, model="m", boot="b"))])
    stream.render([log.record(breaks_off()), log.record(TextDiscarded(step=2, reason="model_failed"))])
    assert not stream.broken


def test_attempts_that_failed_are_paid_for_in_either_form():
    log, stream, collector = Log(), frames(usage=True), Collector()
    batch = [log.record(breaks_off(Usage(5, 2, estimated=True))), log.record(completed(Text("Hi"), usage=Usage(5, 3)))]
    stream.render(batch)
    collector.see(batch)
    assert (stream.spent.usage.total, collector.spent.usage.total) == (15, 15)
