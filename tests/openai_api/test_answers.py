"""A run told to an ASGI server that is this test."""

import asyncio
import json
import time

import pytest

from agentrt.events import (
    Delta,
    FinalText,
    ModelCompleted,
    Record,
    RunCompleted,
    RunFailed,
    TextDelta,
    TextDiscarded,
)
from agentrt.kernel import Unavailable
from agentrt.messages import Message, Text, Usage
from agentrt.openai_api.answers import Answering, answer_whole, stream_answer
from agentrt.openai_api.hangup import HangUps

RUN = "run_" + "0" * 32
HELLO = [
    Delta(RUN, 1, 1, 5, TextDelta(text="Hello")),
    Record(RUN, 2, 2, ModelCompleted(step=1, message=Message("assistant", (Text("Hello"),)), usage=Usage(1, 2), stop="stop")),
]
GOOD_END = [Record(RUN, 3, 3, FinalText(text="Hello")), Record(RUN, 4, 4, RunCompleted())]
BAD_END = [Record(RUN, 3, 3, RunFailed(code="rate_limit", message="slow down"))]


class ScriptedRun:
    """A live run whose batches the test puts in; None ends it without a last record, an error breaks it off."""

    id, session_id, outside_s, replayed, created_at = RUN, "sess_1", 0.0, False, 1_000_000

    def __init__(self, *batches):
        self._batches = asyncio.Queue()
        for batch in batches:
            self._batches.put_nowait(batch)

    def put(self, batch):
        self._batches.put_nowait(batch)

    async def __aiter__(self):
        while (batch := await self._batches.get()) is not None:
            if isinstance(batch, Exception):
                raise batch
            yield batch
            if isinstance(batch[-1].event, RunCompleted | RunFailed):
                return

    def whole_messages(self):
        return aiter(self)


class Caller:
    """The other end: keeps what was sent, and hangs up when told to."""

    def __init__(self):
        self.sent, self.gone, self.arrived = [], asyncio.Event(), asyncio.Event()
        self.cancelled = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)
        self.arrived.set()

    async def cancel(self):
        self.cancelled.set()

    async def until(self, count):
        async with asyncio.timeout(30):
            while len(self.sent) < count:
                self.arrived.clear()
                await self.arrived.wait()

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self):
        return b"".join(message["body"] for message in self.sent[1:])


def told(answer, live, during=None, *, gone=True, **options):
    """The caller of a run that was told to its end; `during` happens meanwhile."""
    caller = Caller()

    async def main():
        answering = Answering(live=live, model="default", began=time.perf_counter(), ignored=("seed",), **options)
        async with HangUps() as hangups, asyncio.timeout(30), asyncio.TaskGroup() as group:
            cancel = caller.cancel if gone else None
            group.create_task(answer(answering, hangups, cancel, caller.receive, caller.send))
            if during is not None:
                await during(caller)

    asyncio.run(main())
    return caller


def test_a_whole_answer_is_one_body_with_its_run_in_the_headers():
    caller = told(answer_whole, ScriptedRun(HELLO, GOOD_END))
    assert caller.status == 200
    assert json.loads(caller.body)["choices"][0]["message"]["content"] == "Hello"
    assert caller.headers["x-run-id"] == RUN
    assert caller.headers["x-session-id"] == "sess_1"
    assert caller.headers["x-agentrt-ignored"] == "seed"
    assert float(caller.headers["x-agentrt-overhead-ms"]) >= 0
    assert int(caller.headers["content-length"]) == len(caller.body)


def test_a_stream_goes_out_in_one_send_per_batch():
    caller = told(stream_answer, ScriptedRun([HELLO[0]] * 3, HELLO[1:], GOOD_END), usage=True)
    assert (caller.status, caller.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert caller.headers["cache-control"] == "no-cache, no-transform"
    bodies = [m["body"] for m in caller.sent[1:]]
    assert len(bodies) == 2
    assert bodies[0].count(b"\n\n") == 4
    assert bodies[-1].endswith(b"data: [DONE]\n\n")
    assert [m["more_body"] for m in caller.sent[1:]] == [True, False]
    totals = json.loads(bodies[-1].split(b"\n\n")[-3][6:])["agentrt"]
    assert totals["run_id"] == RUN
    assert totals["cost_usd"] is None


VOID = [Record(RUN, 2, 2, TextDiscarded(step=1, reason="model_failed"))]


@pytest.mark.parametrize("gone", [True, False], ids=["the caller's alone", "goes on by itself"])
def test_a_stream_whose_text_became_void_ends_with_an_error_and_nobody_pays_for_the_rest(gone):
    async def until_cancelled(caller):
        if gone:
            await caller.cancelled.wait()

    caller = told(stream_answer, ScriptedRun([HELLO[0]], VOID), until_cancelled, gone=gone)
    events = caller.body.split(b"\n\n")
    assert json.loads(events[-2][6:])["error"]["code"] == "model_failed_midway"
    assert b"[DONE]" not in caller.body and b'"stop"' not in caller.body
    assert caller.sent[-1]["more_body"] is False
    assert caller.cancelled.is_set() is gone


def test_void_text_that_was_not_sent_is_a_failure_with_a_status():
    caller = told(stream_answer, ScriptedRun([HELLO[0], *VOID]))
    assert (caller.status, json.loads(caller.body)["error"]["code"]) == (502, "model_failed_midway")


@pytest.mark.parametrize("answer", [answer_whole, stream_answer])
def test_a_failure_before_the_first_chunk_has_its_status(answer):
    caller = told(answer, ScriptedRun(BAD_END))
    error = json.loads(caller.body)["error"]
    assert (caller.status, error["code"], error["message"]) == (429, "rate_limit_exceeded", "slow down")
    assert int(caller.headers["retry-after"]) > 0
    assert caller.headers["x-run-id"] == RUN


@pytest.mark.parametrize("answer", [answer_whole, stream_answer])
@pytest.mark.parametrize("end", [None, Unavailable("The server is shutting down.", code="server_shutting_down")])
def test_a_server_that_drains_says_so(answer, end):
    caller = told(answer, ScriptedRun(end))
    assert (caller.status, json.loads(caller.body)["error"]["code"]) == (503, "server_shutting_down")


@pytest.mark.parametrize(("end", "code"), [(BAD_END, "rate_limit_exceeded"), (None, "server_shutting_down")])
def test_a_failure_after_the_head_is_the_last_event(end, code):
    caller = told(stream_answer, ScriptedRun(HELLO, end))
    assert caller.status == 200
    last = caller.body.split(b"\n\n")[-2]
    assert json.loads(last[6:])["error"]["code"] == code
    assert b"[DONE]" not in caller.body
    assert caller.sent[-1]["more_body"] is False


def test_an_exhausted_budget_is_not_worth_a_retry():
    end = [Record(RUN, 3, 3, RunFailed(code="budget_exceeded", message="50 steps"))]
    caller = told(answer_whole, ScriptedRun(end))
    assert (caller.status, caller.headers["x-should-retry"]) == (429, "false")


@pytest.mark.parametrize("answer", [answer_whole, stream_answer])
def test_a_caller_that_hangs_up_is_noticed(answer):
    live = ScriptedRun([HELLO[0]])

    async def hang_up(caller):
        caller.gone.set()
        await caller.cancelled.wait()
        live.put(BAD_END)

    assert told(answer, live, hang_up).cancelled.is_set()


def test_a_run_that_goes_on_alone_is_left_in_peace():
    live = ScriptedRun([HELLO[0]])

    async def hang_up(caller):
        caller.gone.set()
        await caller.until(2)
        live.put(GOOD_END)

    assert not told(stream_answer, live, hang_up, gone=False).cancelled.is_set()


def test_silence_is_filled_with_comments_from_the_very_beginning():
    live = ScriptedRun()

    async def wait_for_comments(caller):
        await caller.until(4)
        live.put(GOOD_END)

    caller = told(stream_answer, live, wait_for_comments, heartbeat_s=0.02)
    assert caller.status == 200
    assert caller.sent[1]["body"] == caller.sent[2]["body"] == b": ping\n\n"
    assert caller.body.endswith(b"data: [DONE]\n\n")
