"""Prompts that agents take from tool servers: asked for now and then, and kept for when the server is away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

import msgspec
import structlog

from agentrt.agents import AgentSpec, StaticVars, render_prompt
from agentrt.kernel import AgentrtError, Principal, TimedOut

log = structlog.get_logger()

KEPT_S, WAIT_S, AGAIN_S = 300.0, 5.0, 10.0
MOST_PROMPTS = 1000

PromptOf = Callable[[Principal, str, str], Awaitable[str]]
"""`(who, server, prompt)` → its text. Raises an AgentrtError that says why there is none."""


class Borrowed(msgspec.Struct, frozen=True):
    """`text` is None where there has never been one; `notice` says why it is not of now."""

    text: str | None
    notice: str = ""


class Told(msgspec.Struct, frozen=True):
    """What an agent is told; `notice` says why that is not what it should be now, where it is not."""

    text: str
    notice: str = ""


class _Known(msgspec.Struct, frozen=True):
    text: str | None
    notice: str
    until: float


class PromptSource:
    """What was fetched counts for `kept_s` seconds; then it is fetched anew, and where that fails the last good one stands in."""

    def __init__(self, prompt_of: PromptOf, *, kept_s: float = KEPT_S, wait_s: float = WAIT_S, again_s: float = AGAIN_S) -> None:
        self._prompt_of, self._kept_s, self._wait_s, self._again_s = prompt_of, kept_s, wait_s, again_s
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    async def told(self, who: Principal, spec: AgentSpec, known: StaticVars) -> Told:
        """The prompt that the agent has from a tool server, else its own."""
        borrowed = await self.get(who, spec.prompt_from) if spec.prompt_from else Borrowed(None)
        if borrowed.text is not None:
            return Told(borrowed.text, borrowed.notice)
        return Told(render_prompt(spec, known) if spec.prompt else "", borrowed.notice)

    async def get(self, who: Principal, name: str) -> Borrowed:
        """The prompt `server/prompt`, as this user sees it. Waits `wait_s` seconds for its server at most."""
        key = (who.tenant, who.user, name)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:
            known = self._known.get(key)
            if known is None or known.until < time.monotonic():
                known = self._known[key] = await self._asked(who, name, known)
                self._known.move_to_end(key)
                if len(self._known) > MOST_PROMPTS:
                    self._known.popitem(last=False)
        return Borrowed(known.text, known.notice)

    async def _asked(self, who: Principal, name: str, before: _Known | None) -> _Known:
        server, _, prompt = name.partition("/")
        try:
            async with asyncio.timeout(self._wait_s):
                text = await self._prompt_of(who, server, prompt)
            return _Known(text, "", time.monotonic() + self._kept_s)
        except TimeoutError:
            failure: AgentrtError = TimedOut(f"no answer within {self._wait_s:g} s")
        except AgentrtError as exc:
            failure = exc
        last = before.text if before else None
        instead = "the agent's own prompt is used" if last is None else "the last one is used"
        notice = f"the prompt {name} cannot be had now ({failure.message}): {instead}"
        log.warning("prompt.not_had", prompt=name, reason=failure.message, instead=instead)
        return _Known(last, notice, time.monotonic() + self._again_s)
