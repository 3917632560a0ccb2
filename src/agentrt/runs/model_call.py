"""One model call of a run: ask, show what streams in, give the outcome."""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import Any

import structlog
from msgspec.structs import replace

from agentrt.agents import AgentSpec, ModelEntry
from agentrt.events import ModelCompleted, ModelFailed, ModelRetrying, StoredEvent, TextDiscarded
from agentrt.journal import Journal
from agentrt.kernel import Principal, body_of
from agentrt.messages import Message, Text, Usage, says
from agentrt.providers import Chain, Done, ModelAsk, ModelClient, ModelFailure, Retrying, used_at_least

from .attachments import Inlined
from .drive import ActStopped, Drive
from .policy import overspent
from .unanswered import answer_all

log = structlog.get_logger()

Clients = Callable[[Chain], ModelClient]
"""Who answers for a chain of models."""

Inline = Callable[[Principal, Sequence[Message]], Awaitable[Inlined]]
"""Messages with stored files put in as data URLs, for providers want bytes."""

Cost = Callable[[str, Usage], Awaitable[float | None]]
"""What a call of `provider/model` with this usage costs in US dollars; None where nobody knows the price."""

Outcome = ModelCompleted | ModelFailed


# Characters of an answer that broke off. None that was worth having is so long, and a huge row of the log slows down every other.
MOST_KEPT = 1_000_000


class ModelCaller:
    def __init__(self, journal: Journal, clients: Clients, inline: Inline, cost: Cost) -> None:
        self._journal, self._clients, self._inline, self._cost = journal, clients, inline, cost

    async def call(self, drive: Drive, step: int) -> Outcome:
        """Make model call `step`; its outcome. Nothing but the end of the process keeps it from having one."""
        accepted = drive.known.accepted
        watch = _Watch(f"{accepted.provider}/{accepted.model}")
        try:
            async with drive.acting():
                outcome = await self._stream(drive, step, watch)
        except ModelFailure as exc:
            outcome = replace(self._failed(drive, step, exc.code, exc.message), usage=exc.usage, retry_after_s=exc.retry_after_s)
        except ActStopped:
            outcome = self._failed(drive, step, *_why_stopped(drive))
            watch.left = not watch.pausing
        except Exception as exc:  # a client's mistake must not hang the run
            log.exception("model.crashed", run_id=drive.known.run_id)
            outcome = self._failed(drive, step, "internal_error", f"the model client failed ({type(exc).__name__})")
        drive.outside_s += watch.until_end()
        took = watch.total_ms()
        return replace(outcome, duration_ms=took, **await self._bill(outcome, watch), **watch.first_token(outcome))

    async def abandoned(self, drive: Drive, step: int) -> ModelFailed:
        """The outcome of a call whose process died: nobody knows how far it came, so what was sent is counted, as an estimate."""
        state = drive.known
        usage = used_at_least(_asked(drive, Inlined(_said(drive))), "")
        asked = state.open_model_call.asked if state.open_model_call is not None else ""
        cost = await self._cost(asked or f"{state.accepted.provider}/{state.accepted.model}", usage)
        message = "the server stopped during this model call; what it cost is estimated from what was sent"
        return ModelFailed(step=step, code="interrupted", message=message, interrupted=True, usage=usage, cost_usd=cost)

    async def _bill(self, outcome: Outcome, watch: "_Watch") -> dict[str, Any]:
        """What it took and cost. Who broke off after a text was shown, or was left at work, gave no figures: they are
        estimated."""
        usage = outcome.usage
        if isinstance(outcome, ModelFailed) and not usage.total and watch.ask is not None:
            ask, own = watch.ask, outcome.text[watch.kept :]
            if kept := outcome.text[: watch.kept]:  # who wrote that has told what it took
                ask = replace(ask, messages=(*ask.messages, says("assistant", kept)))
            usage = used_at_least(ask, own) if own or watch.left else usage
        name = outcome.model if isinstance(outcome, ModelCompleted) and outcome.provider else watch.asked
        return {"usage": usage, "cost_usd": await self._cost(name, usage)}

    async def _stream(self, drive: Drive, step: int, watch: "_Watch") -> Outcome:
        state = drive.known
        client = self._clients(_chain(drive))
        watch.ask = ask = _asked(drive, await self._inline(drive.who, _said(drive)))
        done: Done | None = None
        async with aclosing(client.stream(ask)) as stream:
            async for batch in stream:  # on to its very end, or the connection could serve nobody after this
                last = batch[-1]
                if type(last) is Done:
                    done = last
                    if live := batch[:-1]:
                        watch.shown()
                        self._journal.show(state.run_id, step, live)  # type: ignore[arg-type]  # nothing but live events
                    continue
                if type(last) is Retrying:
                    name = f"{last.provider}/{last.model}" if last.provider else watch.asked
                    await drive.append(_retrying(step, last, await self._cost(name, last.usage)))
                    watch.asked = last.next or name
                    watch.failed(last)
                    if overspent(drive.known, drive.spec.budgets):
                        raise ModelFailure("what models may take was used up by attempts that failed", code="budget_exceeded")
                    continue
                watch.shown()
                self._journal.show(state.run_id, step, batch)  # type: ignore[arg-type]  # Done and Retrying come alone
        if done is None:
            raise ModelFailure("the model's answer ended without its end", code="truncated", retryable=True)
        return _completed(step, done)

    def _failed(self, drive: Drive, step: int, code: str, message: str) -> ModelFailed:
        shown = self._journal.discard(drive.known.run_id)
        return ModelFailed(step=step, code=code, message=message, text=shown[:MOST_KEPT])


class _Watch:
    """Takes the times of one call, and knows what is asked, and which `provider/model` is asked."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.ask: ModelAsk | None = None
        self._began = time.perf_counter()
        self._first: float | None = None
        self._again_at = 0.0
        self.left = False  # in the middle of its answer
        self.kept = 0  # characters of text from which the one that is asked goes on

    @property
    def pausing(self) -> bool:
        """Whether nobody is asked just now: an attempt failed, and the next one waits."""
        return time.perf_counter() < self._again_at

    def shown(self) -> None:
        if self._first is None:
            self._first = time.perf_counter()

    def failed(self, attempt: Retrying) -> None:
        self._again_at = time.perf_counter() + attempt.wait_s
        self.kept = attempt.kept
        if attempt.voids:
            self._first = None

    def until_end(self) -> float:
        return time.perf_counter() - self._began

    def total_ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1e3, 3)

    def first_token(self, outcome: Outcome) -> dict[str, float]:
        if self._first is None or isinstance(outcome, ModelFailed):
            return {}
        return {"first_token_ms": round((self._first - self._began) * 1e3, 3)}


def examples_of(spec: AgentSpec) -> tuple[Message, ...]:
    """The agent's few-shot messages."""
    return tuple(Message(example.role, (Text(example.content),)) for example in spec.examples)


def _said(drive: Drive) -> tuple[Message, ...]:
    """The conversation so far; stored files are only named in it."""
    return answer_all((*examples_of(drive.spec), *drive.history, *drive.known.transcript.messages))


def _asked(drive: Drive, inlined: Inlined) -> ModelAsk:
    state = drive.known
    started = state.started
    return ModelAsk(
        model=started.model,
        system=(started.system,) if started.system else (),
        messages=inlined.messages,
        images=inlined.images,
        tools=drive.offer.defs,
        caller_tools=started.ask.tools,
        parameters=started.ask.parameters,
        # with three digits forty characters, which is what OpenAI takes back
        call_prefix=f"call_{body_of(state.run_id)}",
        first_call=sum(len(m.calls) for m in state.transcript.produced) % 1000,
        user=started.user,
        limits=drive.spec.limits,
        cache_key=_cache_key(started.tenant, started.agent, started.agent_version, started.session_id or ""),
    )


@lru_cache(maxsize=1024)
def _cache_key(*of: str) -> str:
    """The same for requests that begin alike, and telling nobody why: those of a session, or else of a version of an agent."""
    return hashlib.sha256("\n".join(of).encode()).hexdigest()[:32]


def _chain(drive: Drive) -> Chain:
    """The agent's models; only the one that was named where somebody named one."""
    accepted, spec = drive.known.accepted, drive.spec
    named = ModelEntry(model=f"{accepted.provider}/{accepted.model}")
    return Chain(
        entries=spec.entries if accepted.from_chain else (named,),
        retry=spec.retry,
        metadata=accepted.metadata,
        key=drive.known.run_id,
    )


def _completed(step: int, done: Done) -> ModelCompleted:
    provider, _, model = done.answered_by.partition("/")
    return ModelCompleted(
        step=step,
        message=done.message,
        usage=done.usage,
        stop=done.stop,
        model=done.answered_by or done.model,
        provider=provider,
        version=done.model if model and done.model != model else "",
    )


def _retrying(step: int, retrying: Retrying, cost_usd: float | None) -> list[StoredEvent]:
    failed = ModelRetrying(
        step=step,
        attempt=retrying.attempt,
        code=retrying.code,
        message=retrying.message,
        wait_s=round(retrying.wait_s, 3),
        duration_ms=round(retrying.duration_ms, 3),
        provider=retrying.provider,
        model=retrying.model,
        next=retrying.next,
        usage=retrying.usage,
        cost_usd=cost_usd,
    )
    return [failed, TextDiscarded(step=step, reason="model_failed")] if retrying.voids else [failed]


def _why_stopped(drive: Drive) -> tuple[str, str]:
    if drive.interrupted:
        return "cancelled", "the run was cancelled during this model call"
    return "budget_exceeded", "the run's seconds budget ran out during this model call"
