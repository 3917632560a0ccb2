"""JSON lines from bytes that are cut anywhere."""

import pytest

from agentrt.providers.ndjson import MAX_LINE, LineSplitter, LineTooLong

TEXT = '{"a":"Grüße"}\n{"b":"🌍\u2028"}\r\n\n  \r\n{"c":1}'
LINES = ['{"a":"Grüße"}', '{"b":"🌍\u2028"}', '{"c":1}']


def lines(*pieces: bytes) -> list[str]:
    splitter = LineSplitter()
    found = [line for piece in pieces for line in splitter.feed(piece)]
    if (last := splitter.end()) is not None:
        found.append(last)
    return [line.decode() for line in found]


def test_the_lines_are_the_same_wherever_the_bytes_are_cut_even_within_a_character() -> None:
    stream = TEXT.encode()
    assert lines(stream) == LINES
    for cut in range(len(stream) + 1):
        assert lines(stream[:cut], stream[cut:]) == LINES, cut
    assert lines(*(stream[i : i + 1] for i in range(len(stream)))) == LINES


def test_blank_lines_are_no_documents_and_an_empty_body_has_none() -> None:
    assert lines(b"\n\r\n \n") == []
    assert lines() == lines(b"") == []


def test_a_line_is_handed_on_once_it_is_whole() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b'{"a":') == []
    assert splitter.feed(b"1}") == []
    assert splitter.feed(b"\n{") == [b'{"a":1}']
    assert splitter.end() == b"{"
    assert splitter.end() is None


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    splitter = LineSplitter()
    with pytest.raises(LineTooLong):
        for _ in range(MAX_LINE // 1_000_000 + 2):
            splitter.feed(b"x" * 1_000_000)
