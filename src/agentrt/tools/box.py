"""Every tool of an agent in one place: routes by name, applies allow-lists, time limits, retries and output trimming."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog

from agentrt.agents import AgentSpec, Effect, Retry, ToolRule
from agentrt.kernel import AgentrtError, Principal, delay
from agentrt.messages import Text, ToolCall, ToolResult

from .arguments import parse_arguments
from .errors import ToolTimedOut, ToolUnavailable
from .source import CallContext, Output, ToolDef, ToolSource

log = structlog.get_logger()

DEFAULT_TIMEOUT_S = 120.0
MAX_TEXT = 100_000
MOST_OFFERS = 512

Keep = Callable[[Principal, str, bytes, str, str], Awaitable[str]]
"""`(who, run_id, data, media_type, name)` → the id under which the bytes are kept."""


class Offer(msgspec.Struct, frozen=True):
    """The tools that one agent may use now, by id; `missing` are the sources that are not there, with the reason."""

    tools: Mapping[str, tuple[ToolDef, ToolSource, ToolRule]]
    missing: Mapping[str, str] = {}

    @property
    def defs(self) -> tuple[ToolDef, ...]:
        return tuple(tool for tool, _, _ in self.tools.values())

    @property
    def effects(self) -> Mapping[str, Effect]:
        return {id_: rule.effect or tool.effect for id_, (tool, _, rule) in self.tools.items()}


class ToolBox:
    """The tools of all sources. `keep` stores what is too long to show a model."""

    def __init__(self, sources: Sequence[ToolSource], keep: Keep) -> None:
        self._sources, self._keep = list(sources), keep
        self._offers: OrderedDict[tuple[int, str, str, str], tuple[AgentSpec, Offer]] = OrderedDict()

    def add(self, source: ToolSource) -> None:
        self._sources.append(source)
        self.forget_offers()

    def forget_offers(self) -> None:
        """Ask every source again: the tools of one have changed. What is being asked now is not kept."""
        self._offers = OrderedDict()

    async def offer(self, agent: AgentSpec, who: Principal, mode: str) -> Offer:
        """What `agent` may use now. `finish_task` is offered to autonomous runs, and only to them, whatever the rules."""
        key = (id(agent), who.tenant, who.user, mode)
        known = self._offers.get(key)
        if known is not None:
            return known[1]
        asked_of = self._offers
        offer = await self._ask_sources(agent, who, mode)
        asked_of[key] = (agent, offer)  # keeps the agent, and so its identity, alive
        if len(asked_of) > MOST_OFFERS:
            asked_of.popitem(last=False)
        return offer

    async def _ask_sources(self, agent: AgentSpec, who: Principal, mode: str) -> Offer:
        tools: dict[str, tuple[ToolDef, ToolSource, ToolRule]] = {}
        missing: dict[str, str] = {}
        for source in self._sources:
            for tool in await source.list(agent, who):
                rule = _finish_rule(mode) if tool.id == "finish_task" else agent.rule_for(tool.id)
                if rule is not None and tool.id not in tools:
                    tools[tool.id] = (tool, source, rule)
            missing |= source.missing(agent, who)
        if missing:
            log.warning("tools.missing", agent=agent.name, servers=missing)
        return Offer(tools, missing)

    async def call(self, offer: Offer, call: ToolCall, ctx: CallContext) -> ToolResult:
        """Carry out a call; ToolUnavailable or ToolTimedOut where no answer came within the rule's limits."""
        if call.name not in offer.tools:  # after a restart its server may not be up again
            raise ToolUnavailable(f"{call.name} is not there now", sent=False)
        tool, source, rule = offer.tools[call.name]
        try:
            parse_arguments(call)
        except ValueError as exc:
            return ToolResult(call.id, (Text(str(exc)),), is_error=True)
        ctx = msgspec.structs.replace(ctx, timeout_s=min(rule.timeout or DEFAULT_TIMEOUT_S, ctx.timeout_s))
        effect = rule.effect or tool.effect
        retry = rule.retry or Retry()
        for attempt in range(1, retry.attempts + 1):
            try:
                return await self._trim(await _timed(source, call, ctx), ctx)
            except ToolUnavailable as exc:
                if attempt == retry.attempts or effect == "unsafe":
                    raise
                wait = delay(attempt, base=retry.backoff)
                said = f"attempt {attempt} of {retry.attempts} failed: {exc.message}; again in {wait:.1f} s\n"
                await ctx.emit(Output("stderr", said))
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _trim(self, result: ToolResult, ctx: CallContext) -> ToolResult:
        """Long text: beginning and end are shown, the whole is kept as a file."""
        if sum(len(p.text) for p in result.parts if isinstance(p, Text)) <= MAX_TEXT:
            return result
        whole = result.text
        file_id = await self._keep(ctx.who, ctx.run_id, whole.encode("utf-8", "surrogatepass"), "text/plain", "output.txt")
        left_out = len(whole) - MAX_TEXT
        note = f"\n[... {left_out} characters left out; the whole output is the file {file_id} ...]\n"
        shown = Text(whole[: MAX_TEXT // 2] + note + whole[-MAX_TEXT // 2 :])
        return msgspec.structs.replace(result, parts=(shown, *(p for p in result.parts if not isinstance(p, Text))))


async def _timed(source: ToolSource, call: ToolCall, ctx: CallContext) -> ToolResult:
    try:
        async with asyncio.timeout(ctx.timeout_s):
            return await source.call(call, ctx)
    except TimeoutError:
        raise ToolTimedOut(f"{call.name} gave no answer within {ctx.timeout_s:g} s") from None
    except AgentrtError:
        raise
    except Exception as exc:  # a source may be a third party's: its mistake ends this call, not the run
        log.exception("tool.crashed", tool=call.name, run_id=ctx.run_id)
        raise ToolUnavailable(f"{call.name} failed inside its source ({type(exc).__name__})", sent=True) from exc


def _finish_rule(mode: str) -> ToolRule | None:
    return ToolRule(match="finish_task") if mode == "autonomous" else None
