"""How a run is told to the caller of a chat: as one body, or as a stream while it happens."""

import math
import time

import msgspec
from litestar.types import Receive, Send

from agentrt.events import Delta, ModelStarted, Record, RunCompleted
from agentrt.http import STATUS, openai_error_body
from agentrt.kernel import AgentrtError, body_of
from agentrt.runs import LiveRun

from .completion import Collector
from .failures import FINAL, failed_midway, failure_of
from .frames import Frames
from .hangup import Gone, HangUps
from .headers import EVENT_STREAM, JSON, dollars, header_list

_PING = b": ping\n\n"


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was started for a chat, and how its caller wants to be told. `began` is of `time.perf_counter`."""

    live: LiveRun
    model: str
    began: float
    caller_tools: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    usage: bool = False
    events: bool = False
    heartbeat_s: float = 15.0

    @property
    def answer_id(self) -> str:
        return f"chatcmpl-{body_of(self.live.id)}"

    @property
    def created(self) -> int:
        return self.live.created_at // 1_000_000

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.began) * 1000

    def overhead_ms(self) -> float:
        """What of the time so far was ours: not the models', not the tools'. A model call under way counts as ours."""
        return max(0.0, self.elapsed_ms() - self.live.outside_s * 1000)

    def headers(self, overhead_ms: float) -> list[tuple[bytes, bytes]]:
        out = [
            (b"x-run-id", self.live.id.encode()),
            (b"x-session-id", self.live.session_id.encode()),
            (b"x-agentrt-overhead-ms", b"%.3f" % overhead_ms),
        ]
        if self.live.replayed:
            out.append((b"idempotency-replayed", b"true"))
        if self.ignored:
            out.append((b"x-agentrt-ignored", header_list(self.ignored)))
        return out


async def answer_whole(a: Answering, hangups: HangUps, gone: Gone | None, receive: Receive, send: Send) -> None:
    """One `chat.completion`, or the error that the run ended with. A caller that hangs up is `gone`."""
    collector = Collector(a.caller_tools)
    cut: AgentrtError | None = None
    with hangups.watch(receive, gone):
        try:
            async for batch in a.live.whole_messages():
                collector.see(batch)
        except AgentrtError as exc:
            cut = exc
    headers = a.headers(a.overhead_ms())
    if (cost := collector.spent.cost_usd) is not None and cut is None:
        headers.append((b"x-agentrt-cost-usd", dollars(cost).encode()))
    if isinstance(collector.end, RunCompleted):
        body = collector.body(answer_id=a.answer_id, created=a.created, model=a.model)
        await _send_body(send, 200, body, headers)
    else:
        await _send_error(send, cut or failure_of(collector.end), headers)


async def stream_answer(a: Answering, hangups: HangUps, gone: Gone | None, receive: Receive, send: Send) -> None:
    """The chunks of the answer as they come, in one send per batch; what fails before the first of them has its status."""
    frames = Frames(
        answer_id=a.answer_id, created=a.created, model=a.model, caller_tools=a.caller_tools, usage=a.usage, events=a.events
    )
    out = _EventStream(a, send)
    cut: AgentrtError | None = None
    with hangups.watch(receive, gone, out.beat):
        try:
            async for batch in a.live:
                out.follow(batch)
                data = frames.render(batch)
                if frames.broken:
                    out.held = data
                    cut = failed_midway(frames.why)
                    break
                if frames.end is not None:
                    out.held = data  # goes out together with what ends the stream
                elif data:
                    await out.write(data)
        except AgentrtError as exc:
            cut = exc
    if frames.broken and gone is not None:
        hangups.leave(gone)  # nobody would hear the answer that the next model gives
    if isinstance(frames.end, RunCompleted):
        await out.close(frames.finish(_totals(a, frames.spent.cost_usd)))
    else:
        await out.fail(cut or failure_of(frames.end))


class _EventStream:
    """The body of a streamed answer. Its head waits for the first chunk, so that an early failure still has a status."""

    def __init__(self, a: Answering, send: Send) -> None:
        self._a, self._send = a, send
        self._begun = False
        self._written = time.monotonic()
        self._asked_us = self._waited_us = 0
        self.held = b""

    def follow(self, batch: list[Record | Delta]) -> None:
        """Until the head is sent: how long the model call under way has kept us waiting for its first word."""
        if self._begun:
            return
        for item in batch:
            if isinstance(item, Delta):
                self._waited_us = max(0, item.at - self._asked_us) if self._asked_us else 0
                return
            if isinstance(item.event, ModelStarted):
                # the call begins when its intent is durable, which is when we see it; a late reader knows no better than `at`
                self._asked_us = item.at if isinstance(batch[-1], Delta) else time.time_ns() // 1000

    async def write(self, data: bytes) -> None:
        self._written = time.monotonic()
        if not self._begun:
            await self._begin()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def beat(self) -> float:
        """A comment where nothing was written for a while; seconds until the next look."""
        silent = time.monotonic() - self._written
        if silent < self._a.heartbeat_s:
            return self._a.heartbeat_s - silent
        await self.write(_PING)
        return self._a.heartbeat_s

    async def close(self, data: bytes) -> None:
        if not self._begun:
            await self._begin()
        await self._send({"type": "http.response.body", "body": self.held + data, "more_body": False})

    async def fail(self, error: AgentrtError) -> None:
        """The error: with its status while that is still possible, else as the last event."""
        if self._begun:
            await self.close(Frames.fail(openai_error_body(error)))
        else:
            await _send_error(self._send, error, self._a.headers(self._a.overhead_ms()))

    async def _begin(self) -> None:
        self._begun = True
        overhead_ms = max(0.0, self._a.overhead_ms() - self._waited_us / 1000)
        headers = [*EVENT_STREAM, *self._a.headers(overhead_ms)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})


def _totals(a: Answering, cost_usd: float | None) -> dict[str, object]:
    return {
        "run_id": a.live.id,
        "session_id": a.live.session_id,
        "duration_ms": round(a.elapsed_ms(), 3),
        "overhead_ms": round(a.overhead_ms(), 3),
        "cost_usd": cost_usd,
    }


async def _send_error(send: Send, error: AgentrtError, headers: list[tuple[bytes, bytes]]) -> None:
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if error.code in FINAL:
        headers.append((b"x-should-retry", b"false"))
    await _send_body(send, STATUS[error.kind], openai_error_body(error), headers)


async def _send_body(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    head = [JSON, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})
