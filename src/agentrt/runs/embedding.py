"""A call for embeddings as a run of one step: what it took is recorded, what was asked and given is not kept."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from agentrt import events as e
from agentrt.journal import Journal
from agentrt.kernel import Conflict, Invalid, NotFound, Principal, new_id
from agentrt.messages import Message
from agentrt.providers import Choice, Embedded, ModelFailure, Providers

from .catalogue import EMBEDDING_VERSION, PASSTHROUGH
from .children import child_agent, tell_spending
from .drive import Drive
from .store import session_of


class EmbeddingRun(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's answer as it came, and the run that recorded it. `outside_s` is the time that was the provider's."""

    run_id: str
    session_id: str
    body: bytes
    spent: e.Spending
    outside_s: float


class EmbeddingRuns:
    """Opens and ends these runs. One whose server dies during the call is failed at the next start, not made again."""

    def __init__(self, journal: Journal, providers: Providers, parent_of: Callable[[Principal], Drive | None]) -> None:
        self._journal, self._providers, self._parent_of = journal, providers, parent_of
        self._boot = new_id("boot")

    async def embed(self, who: Principal, model: str, asked: dict[str, Any]) -> EmbeddingRun:
        """Ask `model` (`provider/model` or a bare id) for what `asked` says in OpenAI's terms.

        NotFound and Invalid where the model cannot be asked; ModelFailure where it fails, which the run tells too. For the code
        of a run, a child of it: Exhausted where nothing of its budgets is left.
        """
        choice = self._choose(model)
        parent = self._parent_of(who)
        if parent is None:
            return await self._embed(who, new_id("run"), choice, asked)
        if choice.name not in child_agent(parent).chain:
            raise NotFound(f"the model {choice.name} is none of this agent's", code="model_not_found", param="model")
        run_id, spent = new_id("run"), e.Spending()
        parent.children[run_id] = None
        try:
            run = await self._embed(who, run_id, choice, asked)
            spent = run.spent
            return run
        finally:
            await tell_spending(parent, run_id, spent, 1)

    async def _embed(self, who: Principal, run_id: str, choice: Choice, asked: dict[str, Any]) -> EmbeddingRun:
        began = time.perf_counter()
        await self._journal.append(run_id, [_started(who, choice), self._intent(choice)], after=0)
        asked_at = time.perf_counter()
        try:
            embedded = await self._providers.embed(choice, asked)
        except Exception as exc:  # a client's mistake must not leave the run open either
            known = isinstance(exc, ModelFailure)
            code = exc.code if known else "internal_error"
            message = exc.message if known else f"the model client failed ({type(exc).__name__})"
            wait = exc.retry_after_s if known else None
            failed = e.ModelFailed(step=1, code=code, message=message, cost_usd=0.0, duration_ms=_ms(began), retry_after_s=wait)
            await self._end(run_id, [failed, e.RunFailed(code=code, message=message, retry_after_s=wait)])
            raise
        outside_s = time.perf_counter() - asked_at
        cost = await self._providers.facts.cost(choice.name, embedded.usage)
        done = _completed(choice, embedded, cost, round(outside_s * 1e3, 3))
        await self._end(run_id, [done, e.RunCompleted()])
        return EmbeddingRun(
            run_id=run_id,
            session_id=session_of(run_id, None),
            body=embedded.body,
            spent=e.Spending().plus(done),
            outside_s=outside_s,
        )

    def _choose(self, model: str) -> Choice:
        choice = self._providers.resolve(model)
        if choice is None:
            message = f"The model '{model[:128]}' does not exist, or gives no embeddings."
            raise NotFound(message, code="model_not_found", param="model")
        if self._providers.wire(choice.provider) not in ("openai", "openai_responses"):
            message = f"{choice.name} gives no embeddings here: only providers that speak OpenAI's dialect are asked."
            raise Invalid(message, code="unsupported_model", param="model")
        return choice

    def _intent(self, choice: Choice) -> e.ModelStarted:
        return e.ModelStarted(step=1, model=choice.model, boot=self._boot)

    async def _end(self, run_id: str, outcome: list[e.StoredEvent]) -> None:
        """Right behind the intent; where somebody cancelled the run meanwhile, the outcome alone: it was paid for."""
        try:
            await self._journal.append(run_id, outcome, after=2)
        except Conflict:
            await self._journal.append(run_id, outcome[:1])


def _started(who: Principal, choice: Choice) -> e.RunStarted:
    return e.RunStarted(
        tenant=who.tenant,
        user=who.user,
        agent=PASSTHROUGH.name,
        agent_version=EMBEDDING_VERSION,
        parent_run_id=who.run or None,
        model=choice.model,
        provider=choice.provider,
    )


def _completed(choice: Choice, embedded: Embedded, cost_usd: float | None, duration_ms: float) -> e.ModelCompleted:
    return e.ModelCompleted(
        step=1,
        message=Message("assistant"),
        usage=embedded.usage,
        cost_usd=cost_usd,
        stop="stop",
        model=choice.name,
        provider=choice.provider,
        duration_ms=duration_ms,
    )


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1e3, 3)
