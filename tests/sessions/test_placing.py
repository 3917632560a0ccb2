"""Which messages of a request are new: tables of conversations and requests."""

import pytest

from agentrt.events import Segment
from agentrt.messages import Image, Message, Text, ToolCall, ToolResult, says
from agentrt.sessions.placing import place


def u(text: str) -> Message:
    return says("user", text)


def a(text: str) -> Message:
    return says("assistant", text)


def s(text: str) -> Message:
    return says("system", text)


ASKS = Message("assistant", (ToolCall("call_1", "weather", '{"city":"Bern"}'),))
ANSWERS = Message("tool", (ToolResult("call_1", (Text("sunny"),)),))

KNOWN = [u("one"), a("first"), u("two"), a("second")]

TABLE: dict[str, tuple[list[Message], list[Message], int, list[Message]]] = {
    "the whole conversation and one more": (KNOWN, [*KNOWN, u("three")], 4, [u("three")]),
    "only the new message": (KNOWN, [u("three")], 4, [u("three")]),
    "several new messages, none of them the model's": (KNOWN, [s("Be brief."), u("three")], 4, [s("Be brief."), u("three")]),
    "a new message that was said before": (KNOWN, [u("one")], 4, [u("one")]),
    "a message that was edited": (KNOWN, [u("one"), a("first"), u("TWO")], 2, [u("TWO")]),
    "an answer that was edited": (KNOWN, [u("one"), a("FIRST"), u("two")], 1, [a("FIRST"), u("two")]),
    "another conversation altogether": (KNOWN, [u("x"), a("y"), u("z")], 0, [u("x"), a("y"), u("z")]),
    "the newest question once more": (KNOWN, KNOWN[:3], 2, [u("two")]),
    "everything once more": (KNOWN, KNOWN, 3, [a("second")]),
    "the beginning once more, then something else": (KNOWN, [*KNOWN[:2], u("three")], 2, [u("three")]),
    "nothing is known yet": ([], [u("one")], 0, [u("one")]),
    "system words that lead both are not repeated": ([s("Be brief."), *KNOWN], [s("Be brief."), u("three")], 5, [u("three")]),
    "nor as the developer's": ([s("Be brief."), *KNOWN], [says("developer", "Be brief."), u("three")], 5, [u("three")]),
    "system words alone are new": ([s("Be brief."), *KNOWN], [s("Be brief.")], 5, [s("Be brief.")]),
    "an answer to the caller's tool": ([u("one"), ASKS], [u("one"), ASKS, ANSWERS], 2, [ANSWERS]),
    "a client that trims its text": (
        [u("one "), a("first\n\n")],
        [u("one"), a("first"), u("two")],
        2,
        [u("two")],
    ),
}


@pytest.mark.parametrize("story", TABLE)
def test_what_is_new(story: str) -> None:
    known, request, base, new = TABLE[story]
    placed = place([Segment(message, (message,)) for message in known], request)
    assert (placed.base_length, list(placed.new)) == (base, new)


def test_an_answer_stands_for_the_tool_loops_behind_it() -> None:
    loop = (ASKS, ANSWERS, a("It is sunny."))
    known = [Segment(u("one"), (s("context"), u("one"))), Segment(a("It is sunny."), loop)]
    placed = place(known, [u("one"), a("It is sunny."), u("two")])
    assert (placed.base_length, placed.new) == (5, (u("two"),))
    assert place(known, [u("one"), a("No."), u("two")]).base_length == 2


def test_pictures_are_the_same_by_their_file_and_tool_calls_by_their_id() -> None:
    picture = Message("user", (Text("what is it?"), Image(file="file_1")))
    other = Message("user", (Text("what is it?"), Image(file="file_2")))
    known = [Segment(m, (m,)) for m in (picture, ASKS)]
    reordered = Message("assistant", (ToolCall("call_1", "weather", '{ "city": "Bern" }'),))
    assert place(known, [picture, reordered, ANSWERS]).base_length == 2
    assert place(known, [other, reordered, ANSWERS]).base_length == 0
