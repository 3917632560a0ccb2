"""The conversation that a run's events spell out, and how events are written down."""

import msgspec
import pytest

from agentrt import events as e
from agentrt.messages import Message, Text, ToolCall, ToolResult, Usage, says

STARTED = {"tenant": "default", "agent": "a", "agent_version": "v", "model": "m", "provider": "p"}


def started(*texts: str, context: str = "") -> e.RunStarted:
    return e.RunStarted(**STARTED, input=tuple(says("user", text) for text in texts), context=context)


def completed(message: Message) -> e.ModelCompleted:
    return e.ModelCompleted(step=1, message=message, usage=Usage(), stop="stop")


def asks(*calls: tuple[str, str], text: str = "") -> Message:
    parts = (*((Text(text),) if text else ()), *(ToolCall(id_, name) for id_, name in calls))
    return Message("assistant", parts)


def done(call_id: str, text: str) -> e.ToolCompleted:
    return e.ToolCompleted(call_id=call_id, name="t", result=ToolResult(call_id, (Text(text),)))


def after(*events: e.StoredEvent) -> e.Transcript:
    transcript = e.Transcript()
    for event in events:
        transcript = transcript.apply(event)
    return transcript


def told(transcript: e.Transcript) -> list[str]:
    out = []
    for message in transcript.messages:
        results = [part.text for part in message.parts if isinstance(part, ToolResult)]
        out.append(f"{message.role}: {message.text or ', '.join(results) or ', '.join(c.name for c in message.calls)}")
    return out


def test_results_stand_in_the_order_of_their_calls_whatever_order_they_came_in() -> None:
    transcript = after(
        started("go"),
        completed(asks(("1", "a"), ("2", "b"), ("3", "c"))),
        done("3", "third"),
        done("1", "first"),
        e.ToolFailed(call_id="2", name="b", reason="timeout", result=ToolResult("2", (Text("second"),), is_error=True)),
        completed(says("assistant", "done")),
    )
    assert told(transcript) == [
        "user: go",
        "assistant: a, b, c",
        "tool: first",
        "tool: second",
        "tool: third",
        "assistant: done",
    ]


def test_a_call_id_that_comes_back_in_a_later_step_belongs_to_the_later_call() -> None:
    transcript = after(
        started("go"), completed(asks(("1", "a"))), done("1", "old"), completed(asks(("1", "b"))), done("1", "new")
    )
    assert told(transcript)[1:] == ["assistant: a", "tool: old", "assistant: b", "tool: new"]


def test_the_context_stands_right_before_the_newest_message_and_the_caller_does_not_see_it() -> None:
    transcript = after(started("earlier", "newest", context="It is noon."), completed(says("assistant", "Yes.")))
    assert told(transcript) == ["user: earlier", "system: It is noon.", "user: newest", "assistant: Yes."]
    segments = transcript.segments(frozenset())
    assert [segment.shown.text for segment in segments] == ["earlier", "newest", "Yes."]
    assert [len(segment.messages) for segment in segments] == [1, 2, 1]


def test_the_caller_sees_own_tool_loops_as_one_answer() -> None:
    transcript = after(
        started("go"),
        completed(asks(("1", "clock"), text="Let me look.")),
        done("1", "noon"),
        completed(asks(("2", "weather"), text="It is noon.")),
    )
    shown = transcript.segments(frozenset({"weather"}))[-1]
    assert shown.shown.text == "Let me look.\n\nIt is noon."
    assert [call.name for call in shown.shown.calls] == ["weather"]
    assert len(shown.messages) == 3


def test_a_run_that_waited_is_told_by_what_it_began_with() -> None:
    queued = e.RunQueued(**STARTED, reason="session_busy", input=(says("user", "all"), says("user", "of it")))
    assert told(after(queued, started("of it"))) == ["user: of it"]


def test_what_was_said_meanwhile_joins_and_an_end_is_known() -> None:
    transcript = after(started("go"), completed(says("assistant", "Hm.")), e.MessageAdded(message=says("user", "on"), reason="x"))
    assert told(transcript)[-1] == "user: on" and not transcript.ended
    assert transcript.apply(e.RunFailed(code="x", message="x")).ended


@pytest.mark.parametrize("variant", list(e.StoredEvent.__args__), ids=lambda t: t.__name__)
def test_class_names_are_wire_names(variant: type[e.Event]) -> None:
    tag = variant.__struct_config__.tag
    assert tag == e.wire_name(variant.__name__) and e.wire_name("RunStarted") == "run_started"


def test_events_survive_being_written_down() -> None:
    decode = msgspec.json.Decoder(e.StoredEvent).decode
    for event in (
        started("ä 𝄞 \x00", context="c"),
        completed(asks(("1", "a"), text="t")),
        done("1", "r"),
        e.RunCompleted(),
        e.BudgetExceeded(budget="steps", limit=2, spent=2),
    ):
        assert decode(msgspec.json.encode(event)) == event


def test_defaults_are_not_written_save_where_readers_rely_on_them() -> None:
    assert msgspec.json.encode(e.CancelRequested()) == b'{"type":"cancel_requested"}'
    assert msgspec.json.decode(msgspec.json.encode(e.RunCompleted()))["finish_reason"] == "stop"
