"""What every reader of answers keeps to, whatever wire it reads."""

from typing import Any

import pytest

from fixtures.wires import WIRES, read_all, stream_of

REPLIES = {
    "text": lambda replies: replies.says("Grüße 🌍!"),
    "calls": lambda replies: replies.calls(("echo", {"text": "ä"}), ("add", {"a": 1})),
}


LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
CASES = [(wire, end) for wire in WIRES for end in LINE_ENDS if (wire, end) != ("ollama", "cr")]


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize(("name", "end"), CASES, ids=map("-".join, CASES))
def test_the_answer_is_the_same_wherever_the_bytes_are_cut(name: str, end: str, reply: Any) -> None:
    wire, comment = WIRES[name], b"" if name == "ollama" else b": a comment\n\n"
    stream = (comment + stream_of(reply(wire.replies)).replace(b"\r\n", b"\n")).replace(b"\n", LINE_ENDS[end])

    def reading(*pieces: bytes) -> Any:
        return read_all(wire.reader("acme", wire.asks()), pieces)

    whole = reading(stream)
    for cut in range(len(stream)):
        assert reading(stream[:cut], stream[cut:]) == whole, cut
    assert reading(*(stream[at : at + 1] for at in range(len(stream)))) == whole
