"""A connection that is kept up: one task owns it, opens it, watches it, and opens it again behind a breaker.

The task that enters a link is the task that leaves it (the SDK's task groups insist); everybody else only calls.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Literal

import anyio
import structlog

from agentrt.kernel import Breaker, BreakerState, delay
from agentrt.tools import CallContext, ToolUnavailable

from .diagnose import Diagnosis, explain
from .link import Link, open_link
from .sdk import load
from .target import Target, redactor
from .voice import Stderr, Voice

log = structlog.get_logger()

ConnectionState = Literal["connecting", "connected", "reconnecting", "failed"]


class Pace:
    """How patiently a connection is tried again; tests hurry."""

    def __init__(self, *, backoff_s: float = 0.2, most_s: float = 30.0, min_calls: int = 5, cooldown_s: float = 5.0) -> None:
        self.backoff_s, self.most_s = backoff_s, most_s
        self._min_calls, self._cooldown_s = min_calls, cooldown_s

    def breaker(self) -> Breaker:
        return Breaker(window_s=60.0, min_calls=self._min_calls, cooldown_s=self._cooldown_s)


class Connection:
    """One server as one user sees it. `run` is its life, until it is cancelled; the rest may be used from any task.

    `find_target` is asked at every attempt, so that a command installed meanwhile is found; `on_tools` gets the tools of the
    server whenever they may have changed, `on_change` is called when the state has.
    """

    def __init__(
        self,
        name: str,
        find_target: Callable[[], Target],
        *,
        connect_timeout_s: float,
        pace: Pace,
        on_tools: Callable[[list[Any]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._name, self._find_target, self._deadline_s, self._pace = name, find_target, connect_timeout_s, pace
        self._on_tools, self._on_change = on_tools, on_change
        self._breaker = pace.breaker()
        self._link: Link | None = None
        self._tried = asyncio.Event()
        self._up = asyncio.Event()
        self._was_up = False
        self._ended = False
        self.stderr = Stderr()
        self.diagnosis: Diagnosis | None = None
        self.last_error = ""
        self.running = 0
        self.used_at = time.monotonic()

    @property
    def state(self) -> ConnectionState:
        if self._link is not None:
            return "connected"
        if self._breaker.state == "closed" and self._was_up:
            return "reconnecting"
        return "failed" if self.diagnosis is not None else "connecting"

    @property
    def breaker(self) -> BreakerState:
        return self._breaker.state

    @property
    def protocol(self) -> str:
        return self._link.protocol if self._link else ""

    @property
    def server(self) -> str:
        return self._link.server if self._link else ""

    async def tried(self) -> None:
        """Until the first attempt to connect has ended, well or not."""
        await self._tried.wait()

    async def run(self) -> None:
        """Connect, stay connected, connect again, for ever."""
        try:
            await self._keep_up()
        finally:
            self._tried.set()  # nobody need wait for it any more

    def end(self) -> None:
        """Not to be connected again; who calls this cancels `run`, too."""
        self._ended = True

    async def call(self, tool: str, arguments: dict[str, Any], ctx: CallContext, timeout_s: float) -> Any:
        """The server's answer to a call. ToolUnavailable at once where there is no connection to be had."""
        until = time.monotonic() + timeout_s
        link = await self._ready(timeout_s)
        voice = Voice(ctx.emit)
        self.running += 1
        try:
            with self.stderr.heard_by(voice):
                answer = await link.call(
                    tool,
                    arguments,
                    timeout_s=max(until - time.monotonic(), 0.001),
                    key=ctx.idempotency_key,
                    on_progress=voice.progress,
                )
                await self.stderr.settle()
                return answer
        finally:
            self.running -= 1
            self.used_at = time.monotonic()
            await voice.end()

    async def prompt(self, name: str, timeout_s: float) -> str:
        """The text of a prompt. ToolUnavailable where there is no connection to be had, UpstreamFailed, TimedOut."""
        until = time.monotonic() + timeout_s
        link = await self._ready(timeout_s)
        self.running += 1
        try:
            return await link.prompt(name, timeout_s=max(until - time.monotonic(), 0.001))
        finally:
            self.running -= 1
            self.used_at = time.monotonic()

    async def _ready(self, timeout_s: float) -> Link:
        if self.state in ("connecting", "reconnecting"):
            with suppress(TimeoutError):
                async with asyncio.timeout(min(timeout_s, 5.0)):
                    await self._up.wait()
        if self._link is None:
            why = f": {self.diagnosis.problem}" if self.diagnosis else ""
            raise ToolUnavailable(f"the MCP server {self._name!r} is not connected{why}", sent=False)
        return self._link

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            stood = await self._attempt()
            self._stop_if_asked()
            failures = 1 if stood else failures + 1
            pause = delay(failures, base=self._pace.backoff_s, most=self._pace.most_s)
            await asyncio.sleep(max(pause, self._breaker.retry_in() + 0.01))
            self._breaker.allow()

    async def _attempt(self) -> bool:
        """Open a link and hold it until it breaks; whether it ever stood."""
        target: Target | None = None
        stood = False
        failure: BaseException | None = None
        try:
            sdk = await asyncio.to_thread(load)
            target = self._find_target()
            self.stderr.redact = redactor(target.secrets)
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._deadline_s):
                    link = await stack.enter_async_context(open_link(target, self.stderr, sdk, self._fall))
                    self._on_tools(await link.tools())
                self._stop_if_asked()
                stood = True
                self._rise(link)
                await self._watch(link)
        except Exception as exc:
            # Whatever a server does wrong ends here: it must not reach the servers beside it.
            failure = exc
        finally:
            self._fall(self._link)
        self._stop_if_asked()
        self._breaker.record(False)
        await self._account(failure, target, stood)
        return stood

    async def _watch(self, link: Link) -> None:
        """Follow what the server says of itself, until the link is lost."""
        async with anyio.create_task_group() as group:
            group.start_soon(link.listen)
            group.start_soon(self.stderr.hand_on)
            group.start_soon(self._refresh, link)
            await link.lost.wait()
            group.cancel_scope.cancel()

    async def _refresh(self, link: Link) -> None:
        while True:
            await link.changed.wait()
            link.changed.clear()
            async with asyncio.timeout(self._deadline_s):
                self._on_tools(await link.tools())
            self._on_change()

    def _rise(self, link: Link) -> None:
        self._link, self._was_up, self.diagnosis = link, True, None
        self._breaker.record(True)
        self._up.set()
        self._tried.set()
        log.info("mcp.connected", server=self._name, protocol=link.protocol, version=link.server)
        self._on_change()

    def _fall(self, link: Link | None) -> None:
        if link is not None and self._link is link:
            self._link = None
            self._up.clear()
            self._on_change()

    async def _account(self, failure: BaseException | None, target: Target | None, stood: bool) -> None:
        """Find out why, for people; only news are a warning."""
        try:
            found = await explain(target, failure, self.stderr.tail)
        except Exception:
            # A reason that cannot be found must not end what tries again.
            log.exception("mcp.unexplained", server=self._name)
            found = Diagnosis("it cannot be reached, for a reason that is in the log")
        news = str(found) != self.last_error
        self.diagnosis, self.last_error = found, str(found)
        say = log.warning if news or stood else log.debug
        say("mcp.disconnected" if stood else "mcp.unreachable", server=self._name, reason=self.last_error)
        self._tried.set()
        self._on_change()

    def _stop_if_asked(self) -> None:
        """Raise the cancellation that got lost: the SDK's task groups may take one that comes while they end for their own, and
        then nothing is left of it in the task either."""
        task = asyncio.current_task()
        if self._ended or (task is not None and task.cancelling()):
            raise asyncio.CancelledError
