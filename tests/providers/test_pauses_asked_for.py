"""What providers say with a refusal: how long to wait, and that a conversation is too long."""

import pytest

from agentrt.providers.failures import Complaint, failure, refused, retry_after

NOW = 1_795_189_919.0  # 2026-11-20 15:51:59 UTC
LONG = 86_400.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("5", 5.0),
        ("0.5", 0.5),
        ("Fri, 20 Nov 2026 15:52:09 GMT", 10.0),
        ("Fri, 20 Nov 2026 15:52:09", 10.0),
        ("Fri, 20 Nov 2026 16:52:09 +0100", 10.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
        ("99999999999", LONG),
        ("9" * 400, LONG),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONG),
        ("-5", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 99 Dec 99999 99:99:99 GMT", None),
        ("Mon, 01 Jan 2001 00:00:00 +9999", None),
    ],
)
def test_a_pause_is_read_whatever_its_form_and_what_is_none_is_left_out(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}, NOW) == seconds


def test_milliseconds_come_first_and_nonsense_in_them_does_not_hide_the_seconds() -> None:
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}, NOW) == 1.5
    assert retry_after({"retry-after-ms": "soon", "retry-after": "9"}, NOW) == 9.0


@pytest.mark.parametrize(
    "words",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Input is too long for requested model.",
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        "This model's maximum context length is 8192 tokens.",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    ],
)
def test_each_way_to_say_that_a_conversation_is_too_long(words: str) -> None:
    assert failure("acme", 400, Complaint(words)).code == "context_length"


def test_a_conflict_at_the_provider_passes() -> None:
    found = failure("acme", 409, Complaint("lock timeout"))
    assert (found.code, found.retryable) == ("server_error", True)


@pytest.mark.parametrize(("status", "wish", "retryable"), [(503, "false", False), (404, "true", True), (503, "perhaps", True)])
def test_a_provider_may_say_whether_to_ask_again(status: int, wish: str, retryable: bool) -> None:
    found = refused("acme", status, {"x-should-retry": wish}, b'{"error": {}}', wire="openai", secrets=(), now=NOW)
    assert found.retryable is retryable
