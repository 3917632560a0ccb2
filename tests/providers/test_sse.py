import pytest

from agentrt.providers.sse import MAX_EVENT, EventTooLarge, SseSplitter

STREAM = (
    b": a comment\n\n"
    b'data: {"text":"gr\xc3\xbc\xc3\x9fe \xf0\x9f\x8c\x8d"}\n\n'
    b"event: message\nid: 7\ndata: first\ndata: second\n\n"
    b"data:no space\n\n"
    b"data\n\n"
    b"retry: 100\n\n\n\n"
    b"data:  two spaces\n\n"
    b"data: [DONE]\n\n"
)
EXPECTED = [
    '{"text":"grüße 🌍"}'.encode(),
    b"first\nsecond",
    b"no space",
    b"",
    b" two spaces",
    b"[DONE]",
]


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = SseSplitter()
    return [data for piece in pieces for data in splitter.feed(piece)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_events_are_the_same_wherever_the_bytes_are_cut(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    assert split([stream]) == EXPECTED
    for cut in range(len(stream)):
        assert split([stream[:cut], stream[cut:]]) == EXPECTED, cut
    assert split([stream[i : i + 1] for i in range(len(stream))]) == EXPECTED


def test_line_ends_may_change_within_a_stream() -> None:
    assert split([b"data: a\r\n\r\ndata: b\n\ndata: c\r\rdata: d\r", b"\n\r", b"\ndata: e\n\n"]) == [b"a", b"b", b"c", b"d", b"e"]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert split([b"\xef\xbb", b"\xbfdata: a\n\n"]) == [b"a"]


def test_an_event_is_given_as_soon_as_its_blank_line_is_here() -> None:
    splitter = SseSplitter()
    assert splitter.feed(b"data: a\r\n\r") == [b"a"]
    assert splitter.feed(b"\ndata: b") == []
    assert splitter.feed(b"\n\n") == [b"b"]


def test_the_end_gives_what_an_event_without_its_blank_line_holds() -> None:
    splitter = SseSplitter()
    assert splitter.feed(b"data: a\n\ndata: [DO") == [b"a"]
    assert splitter.feed(b"NE]\n") == []
    assert splitter.end() == b"[DONE]"
    assert splitter.end() is None


def test_an_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    splitter = SseSplitter()
    with pytest.raises(EventTooLarge):
        for _ in range(MAX_EVENT // 1_000_000 + 2):
            splitter.feed(b"x" * 1_000_000)
