"""Server-sent events on their way out, and failures on theirs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from agentrt.http import STATUS, EventStream, error_answer, frame
from agentrt.kernel import Exhausted, Invalid, TimedOut, Unavailable

pytestmark = pytest.mark.anyio


class Reader:
    """The other end of a stream."""

    def __init__(self) -> None:
        self.head: dict[bytes, bytes] = {}
        self.body, self.ended = b"", False
        self.got, self.left = asyncio.Event(), asyncio.Event()

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.head = dict(message["headers"])
            return
        self.body += message["body"]
        self.ended = not message.get("more_body", False)
        if b"data:" in message["body"]:
            self.got.set()


async def test_frames_go_out_as_they_come_and_the_stream_ends_with_them() -> None:
    async def frames() -> AsyncIterator[bytes]:
        yield frame("text_delta", b'{"text":"a"}', "2.1")
        yield frame("reasoning_delta", b"{}")

    reader = Reader()
    await EventStream(frames(), [(b"x-run-id", b"run_1")])({}, reader.receive, reader.send)  # type: ignore[arg-type]
    assert reader.body == (
        b'retry: 2000\n\nevent: text_delta\nid: 2.1\ndata: {"text":"a"}\n\nevent: reasoning_delta\ndata: {}\n\n'
    )
    assert reader.ended
    assert reader.head[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert reader.head[b"cache-control"] == b"no-cache, no-transform"
    assert (reader.head[b"x-accel-buffering"], reader.head[b"x-run-id"]) == (b"no", b"run_1")


async def test_a_reader_that_leaves_ends_the_stream_and_what_feeds_it() -> None:
    closed = asyncio.Event()

    async def frames() -> AsyncIterator[bytes]:
        try:
            yield frame("run_started", b"{}")
            await asyncio.Event().wait()
        finally:
            closed.set()

    reader = Reader()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(EventStream(frames())({}, reader.receive, reader.send))  # type: ignore[arg-type]
        await reader.got.wait()
        reader.left.set()
        await closed.wait()


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85"])
def test_no_sign_within_an_event_ends_its_line(sign: str) -> None:
    sent = frame("text_delta", msgspec.json.encode({"text": f"a{sign}b"})).decode()
    assert len(sent.rstrip("\n").splitlines()) == 2
    data = sent.splitlines()[1].removeprefix("data: ")
    assert msgspec.json.decode(data) == {"text": f"a{sign}b"}


def test_a_problem_says_what_where_and_when_to_come_back() -> None:
    status, body, headers = error_answer("/runs", Exhausted("too many runs are waiting", code="queue_full", retry_after_s=4.6))
    assert (status, headers) == (429, {"content-type": "application/problem+json", "retry-after": "5"})
    assert msgspec.json.decode(body) == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "too many runs are waiting",
        "code": "queue_full",
    }
    _, body, _ = error_answer("/runs", Invalid("no", param="after"))
    assert msgspec.json.decode(body)["param"] == "after"


def test_openai_s_types_follow_the_status() -> None:
    kinds = {}
    for error in (Invalid("x"), Exhausted("x"), Unavailable("x"), TimedOut("x")):
        status, body, _ = error_answer("/v1/models", error)
        kinds[status] = msgspec.json.decode(body)["error"]["type"]
    assert kinds == {400: "invalid_request_error", 429: "rate_limit_error", 503: "server_error", 504: "server_error"}


def test_every_kind_of_failure_has_a_status() -> None:
    from typing import get_args

    from agentrt.kernel import Kind

    assert set(STATUS) == set(get_args(Kind))
