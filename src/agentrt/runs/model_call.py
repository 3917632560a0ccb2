"""One model call of a run: ask, show what streams in, give the outcome."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import structlog
from msgspec.structs import replace

from agentrt.agents import AgentSpec, Retry
from agentrt.events import Event, ModelCompleted, ModelFailed, ModelRetrying
from agentrt.journal import Journal
from agentrt.kernel import Principal, body_of
from agentrt.messages import Message, Text
from agentrt.providers import Done, ModelAsk, ModelClient, ModelFailure, Retrying

from .drive import ActStopped, Drive
from .unanswered import answer_all

log = structlog.get_logger()

Clients = Callable[[str, Retry], ModelClient]
"""`(provider, retry)` → the client that speaks to it."""

Inline = Callable[[Principal, Sequence[Message]], Awaitable[tuple[Message, ...]]]
"""Messages with stored files put in as data URLs, for providers want bytes."""

Outcome = ModelCompleted | ModelFailed


class ModelCaller:
    def __init__(self, journal: Journal, clients: Clients, inline: Inline) -> None:
        self._journal, self._clients, self._inline = journal, clients, inline

    async def call(self, drive: Drive, step: int) -> Outcome:
        """Make model call `step`; its outcome. Nothing but the end of the process keeps it from having one."""
        watch = _Watch()
        try:
            async with drive.acting():
                outcome = await self._stream(drive, step, watch)
        except ModelFailure as exc:
            outcome = self._failed(drive, step, exc.code, exc.message)
        except ActStopped:
            outcome = self._failed(drive, step, *_why_stopped(drive))
        except Exception as exc:  # a client's mistake must not hang the run
            log.exception("model.crashed", run_id=drive.known.run_id)
            outcome = self._failed(drive, step, "internal_error", f"the model client failed ({type(exc).__name__})")
        drive.outside_s += watch.until_end()
        return replace(outcome, duration_ms=watch.total_ms(), **watch.first_token(outcome))

    async def _stream(self, drive: Drive, step: int, watch: "_Watch") -> Outcome:
        state = drive.known
        client = self._clients(state.accepted.provider, drive.spec.retry)
        ask = await self._ask(drive)
        async with aclosing(client.stream(ask)) as stream:
            async for batch in stream:
                last = batch[-1]
                if type(last) is Done:
                    if live := [c for c in batch if isinstance(c, Event)]:
                        watch.shown()
                        self._journal.show(state.run_id, step, live)
                    return ModelCompleted(step=step, message=last.message, usage=last.usage, stop=last.stop, model=last.model)
                if type(last) is Retrying:
                    await drive.append([_retrying(step, last)])
                    continue
                watch.shown()
                self._journal.show(state.run_id, step, batch)  # type: ignore[arg-type]  # Done and Retrying come alone
        raise ModelFailure("the model's answer ended without its end", code="truncated", retryable=True)

    async def _ask(self, drive: Drive) -> ModelAsk:
        state = drive.known
        started = state.started
        messages = (*examples_of(drive.spec), *drive.history, *state.transcript.messages)
        return ModelAsk(
            model=started.model,
            system=(started.system,) if started.system else (),
            messages=await self._inline(drive.who, answer_all(messages)),
            tools=drive.offer.defs,
            caller_tools=started.ask.tools,
            parameters=started.ask.parameters,
            # with three digits forty characters, which is what OpenAI takes back
            call_prefix=f"call_{body_of(state.run_id)}",
            first_call=sum(len(m.calls) for m in state.transcript.produced) % 1000,
            user=started.user,
        )

    def _failed(self, drive: Drive, step: int, code: str, message: str) -> ModelFailed:
        return ModelFailed(step=step, code=code, message=message, text=self._journal.discard(drive.known.run_id))


class _Watch:
    """Takes the times of one call."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first: float | None = None

    def shown(self) -> None:
        if self._first is None:
            self._first = time.perf_counter()

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


def _retrying(step: int, retrying: Retrying) -> ModelRetrying:
    return ModelRetrying(
        step=step,
        attempt=retrying.attempt,
        code=retrying.code,
        message=retrying.message,
        wait_s=retrying.wait_s,
        duration_ms=retrying.duration_ms,
    )


def _why_stopped(drive: Drive) -> tuple[str, str]:
    if drive.interrupted:
        return "cancelled", "the run was cancelled during this model call"
    return "budget_exceeded", "the run's seconds budget ran out during this model call"
