"""Which part of a file a request asks for."""

import pytest

from agentrt.files.ranges import Piece, wanted

ETAG = '"abc"'
WHOLE = Piece(200, 0, 100)

ASKED = {
    "bytes=0-0": Piece(206, 0, 1),
    "bytes=10-19": Piece(206, 10, 10),
    "bytes=90-": Piece(206, 90, 10),
    "bytes=0-": Piece(206, 0, 100),
    "bytes=50-1000": Piece(206, 50, 50),
    "bytes=-10": Piece(206, 90, 10),
    "bytes=-1000": Piece(206, 0, 100),
    "BYTES = 1 - 2": Piece(206, 1, 2),
    "bytes=100-": Piece(416),
    "bytes=100-200": Piece(416),
    "bytes=-0": Piece(416),
    "bytes=5-4": WHOLE,
    "bytes=-": WHOLE,
    "bytes=": WHOLE,
    "bytes=0-1,5-6": WHOLE,
    "bytes=a-b": WHOLE,
    "lines=0-1": WHOLE,
    "bytes=0x1-2": WHOLE,
    "bytes=1-2\r\nx: y": WHOLE,
    "bytes=" + "9" * 30 + "-": WHOLE,
    "bytes=\u0661-\u0662": WHOLE,
    "": WHOLE,
}


@pytest.mark.parametrize("asked", ASKED)
def test_one_range_is_answered_and_what_is_not_understood_is_ignored(asked: str) -> None:
    assert wanted({"range": asked}, 100, ETAG) == ASKED[asked]


def test_a_range_of_nothing_is_none() -> None:
    assert wanted({"range": "bytes=0-"}, 0, ETAG) == Piece(416)
    assert wanted({}, 0, ETAG) == Piece(200, 0, 0)


@pytest.mark.parametrize(
    ("condition", "answered"),
    [(ETAG, 206), ('"other"', 200), (f"W/{ETAG}", 200), ("Fri, 20 Nov 2026 12:00:00 GMT", 200), ("", 200)],
)
def test_a_download_is_gone_on_with_only_where_the_file_is_the_same(condition: str, answered: int) -> None:
    assert wanted({"range": "bytes=10-", "if-range": condition}, 100, ETAG).status == answered


@pytest.mark.parametrize(
    ("told", "answered"), [(ETAG, 304), (f'"x", W/{ETAG}', 304), ("*", 304), ('"x"', 200), ("", 200), ("abc", 200)]
)
def test_who_has_the_bytes_is_not_sent_them_again(told: str, answered: int) -> None:
    assert wanted({"if-none-match": told}, 100, ETAG).status == answered
