"""What of ended runs stays in memory."""

from agentrt.events import Segment
from agentrt.messages import Message, says
from agentrt.sessions.parts import CACHE_BYTES, OVERHEAD_BYTES, Parts, RunPart


def said(*messages: Message) -> RunPart:
    return RunPart(segments=tuple(Segment(message, (message,)) for message in messages))


def test_a_conversation_of_a_thousand_turns_stays_whole() -> None:
    parts = Parts()
    for turn in range(1000):
        parts.keep(f"run_{turn}", said(says("user", "x" * 400), says("assistant", "y" * 400)))
    assert all(parts.get(f"run_{turn}") is not None for turn in range(1000))


def test_long_answers_push_out_what_was_not_used_for_longest() -> None:
    parts, size = Parts(), CACHE_BYTES // 3
    for name in ("a", "b"):
        parts.keep(name, said(says("assistant", "z" * size)))
    parts.get("a")
    parts.keep("c", said(says("assistant", "z" * size)))
    assert [name for name in ("a", "b", "c") if parts.get(name)] == ["a", "c"]


def test_what_alone_is_too_large_is_not_kept() -> None:
    parts = Parts(limit=3 * OVERHEAD_BYTES)
    parts.keep("huge", said(says("user", "x" * 4 * OVERHEAD_BYTES)))
    assert parts.get("huge") is None
    parts.keep("small", said())
    assert parts.get("small") == said()


def test_what_is_kept_anew_or_forgotten_weighs_nothing() -> None:
    parts = Parts(limit=2 * OVERHEAD_BYTES + 100)
    for _ in range(5):
        parts.keep("a", said())
    parts.keep("b", said())
    parts.forget("b")
    parts.forget("never there")
    parts.keep("c", said())
    assert parts.get("a") and parts.get("c")
