"""Amazon's binary event stream."""

import json
from base64 import b64encode
from typing import Any

import pytest

from agentrt.providers.aws_events import AwsEvents
from agentrt.providers.connection_failures import NotHttp
from upstreams.bedrock_upstream import chunk, exception, frame

START: dict[str, Any] = {"type": "message_start", "message": {"model": "claude", "content": "Grüße 🌍"}}
STOP: dict[str, Any] = {"type": "message_stop"}
STREAM = chunk(START) + frame({":event-type": "initial-response"}, b"{}") + chunk(STOP)


@pytest.mark.parametrize("size", [1, 2, 5, 64, len(STREAM)])
def test_events_read_the_same_wherever_they_are_cut(size: int) -> None:
    events = AwsEvents()
    read = b"".join(events.feed(STREAM[start : start + size]) for start in range(0, len(STREAM), size))
    assert read.endswith(b"\n\n")
    assert [json.loads(each.removeprefix(b"data: ")) for each in read.split(b"\n\n")[:-1]] == [START, STOP]


@pytest.mark.parametrize(
    ("kind", "same"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelTimeoutException", "timeout_error"),
        ("validationException", "invalid_request_error"),
        ("internalServerException", "api_error"),
    ],
)
def test_an_exception_is_an_error_event(kind: str, same: str) -> None:
    read = AwsEvents().feed(exception(kind, "because"))
    said = json.loads(read.removeprefix(b"data: "))
    assert said == {"type": "error", "error": {"type": same, "message": "because"}}


def test_headers_that_are_no_text_are_passed_over() -> None:
    body = b64encode(json.dumps(STOP).encode()).decode()
    numbers = b"\x04flag\x00\x03num\x04\x00\x00\x00\x01\x04blob\x06\x00\x02ab"
    read = AwsEvents().feed(frame({":message-type": "event"}, json.dumps({"bytes": body}).encode(), before=numbers))
    assert b"message_stop" in read


@pytest.mark.parametrize(
    "damaged",
    [
        b"data: {}\n\n and so on",
        STREAM[:20] + b"?" + STREAM[21:],
        frame({":message-type": "event"}, b"{oops"),
        frame({":message-type": "event"}, b'{"bytes": "?"}'),
        frame({}, b"{}", before=b"\x01x\x42"),
    ],
    ids=["text", "checksum", "json", "base64", "header"],
)
def test_what_is_damaged_is_not_guessed_at(damaged: bytes) -> None:
    with pytest.raises(NotHttp):
        AwsEvents().feed(damaged)
