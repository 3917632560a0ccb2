"""Events as readers over HTTP get them, each with the id that leads back to its place."""

import msgspec

from agentrt import events as e
from agentrt.messages import Message, Thinking, ToolCall, Usage, says
from agentrt.runs import event_object
from agentrt.runs.wire import EventFrames

STARTED = e.RunStarted(
    tenant="t",
    agent="a",
    agent_version="v",
    model="m",
    provider="p",
    system="secret",
    context="c",
    idempotency_key="k",
    session_key="user:x",
)


def test_an_event_is_one_object_with_its_place() -> None:
    call = ToolCall("call_1", "look", '{"at": 1}')
    started = e.ToolStarted(call=call, step=1, effect="read", boot="boot_1")
    assert event_object(e.Record("run_a", 4, 1_000_000, started)) == {
        "seq": 4,
        "type": "tool_started",
        "run_id": "run_a",
        "at": "1970-01-01T00:00:01.000000Z",
        "call_id": "call_1",
        "name": "look",
        "arguments": '{"at": 1}',
        "step": 1,
        "effect": "read",
    }


def test_what_a_provider_wants_back_is_shown_as_it_was() -> None:
    thought = Thinking("hm", "anthropic", msgspec.Raw(b'{"type":"thinking","signature":"s"}'))
    call = ToolCall("call_1", "look", "{}", msgspec.Raw(b'{"caller":{"type":"direct"}}'), "anthropic")
    completed = e.ModelCompleted(step=1, message=Message("assistant", (thought, call)), usage=Usage(), stop="tool_calls")
    parts = event_object(e.Record("run_a", 3, 0, completed))["message"]["parts"]
    assert [part["opaque"] for part in parts] == [{"type": "thinking", "signature": "s"}, {"caller": {"type": "direct"}}]
    assert event_object(e.Record("run_a", 4, 0, e.ToolStarted(call=call, step=1, effect="read", boot="b")))["name"] == "look"


def test_prompts_keys_and_tenants_stay_inside() -> None:
    shown = event_object(e.Record("run_a", 1, 0, STARTED))
    assert set(shown) == {"seq", "type", "run_id", "at", "agent", "agent_version", "model", "provider", "session_id"}


def test_events_name_the_session_that_the_run_shows() -> None:
    named = e.RunCompleted(session_id="mine")
    assert event_object(e.Record("run_a", 9, 0, named))["session_id"] == "mine"
    for own in (STARTED, e.RunCompleted(), e.RunFailed(code="c", message="m"), e.RunCancelled()):
        assert event_object(e.Record("run_a", 9, 0, own))["session_id"] == "sess_a"


def test_frames_bear_the_cursor_behind_them() -> None:
    frames = EventFrames("run_a", "0")
    completed = e.ModelCompleted(step=1, message=says("assistant", "Hello"), usage=Usage(), stop="stop")
    batch = [
        e.Record("run_a", 1, 0, STARTED),
        e.Record("run_a", 2, 0, e.ModelStarted(step=1, model="m", boot="b")),
        e.Delta("run_a", 0, 1, -1, e.ReasoningDelta(text="hm")),
        e.Delta("run_a", 0, 1, 5, e.TextDelta(text="Hello")),
        e.Record("run_a", 3, 0, completed),
    ]
    sent = frames.render(batch).decode().split("\n\n")[:-1]
    heads = [[line for line in frame.splitlines() if not line.startswith("data:")] for frame in sent]
    assert heads == [
        ["event: run_started", "id: 1"],
        ["event: model_started", "id: 2"],
        ["event: reasoning_delta"],
        ["event: text_delta", "id: 2.5"],
        ["event: model_completed", "id: 3"],
    ]
    seqs = [msgspec.json.decode(frame.partition("data: ")[2])["seq"] for frame in sent]
    assert seqs == [1, 2, 2, 2, 3]
    head, _, data = frames.reconnect("server_shutting_down", 1_000_000).decode().strip().rpartition("\ndata: ")
    assert head == "event: reconnect\nid: 3"
    assert msgspec.json.decode(data) == {
        "seq": 3,
        "type": "reconnect",
        "run_id": "run_a",
        "at": "1970-01-01T00:00:01.000000Z",
        "reason": "server_shutting_down",
    }
