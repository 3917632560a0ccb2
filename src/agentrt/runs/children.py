"""Runs that code of another run begins: with its agent's models, on its budget, and never outliving it.

The code is not trusted. A child has no prompt, no tools and no session of its own, and names nothing but what it brings along:
no stored file, no address for somebody else to fetch, no conversation that is not its siblings'.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from agentrt import events as e
from agentrt.agents import AgentSpec, Budgets, Parameters
from agentrt.kernel import Exhausted, Invalid
from agentrt.messages import File, Image, Message, Part, ToolResult

from .drive import Drive
from .views import StartRun

MOST_CHILDREN = 16


def child_agent(parent: Drive) -> AgentSpec:
    """Who answers for the children of a run: its agent's models, parameters that it locks, and what is left of its budgets.

    Exhausted where nothing is left, or too many children go on already.
    """
    spec = parent.spec
    locked = {name: value for name, value in spec.parameters.given.items() if name in spec.locked}
    return AgentSpec(
        name=spec.name,
        aliases=spec.aliases,
        model=spec.model,
        limits=spec.limits,
        parameters=Parameters(**locked),
        locked=tuple(locked),
        unsupported=spec.unsupported,
        budgets=_left(parent),
        retry=spec.retry,
        logging=spec.logging,
    )


def child_command(parent: Drive, command: StartRun) -> StartRun:
    """What the code asks, as far as it may. Invalid for what lies outside."""
    _refuse_outside(command.messages)
    return replace(
        command,
        agent=None,
        passthrough=False,
        mode="interactive",
        session_id=None,
        parent_run_id=parent.known.run_id,
    )


async def tell_spending(parent: Drive, child_run_id: str, spent: e.Spending, calls: int) -> None:
    """Write into the parent's log what a child took. Until that is done, the child counts as going on, and who asked is not told
    its end: what is asked next must find the budgets as they are."""
    try:
        if calls:
            told = e.ChildSpent(child_run_id=child_run_id, calls=calls, usage=spent.usage, cost_usd=spent.cost_usd)
            await parent.append([told])
    finally:
        child = parent.children.pop(child_run_id, None)
        if child is not None and child.told is not None:
            child.told.set()


def _left(parent: Drive) -> Budgets:
    """The budgets of one more child, which calls a model once. What its siblings took so far counts already."""
    if len(parent.children) >= MOST_CHILDREN:
        raise Exhausted(f"at most {MOST_CHILDREN} calls of a run's code go on at once", code="too_many_calls", retry_after_s=1)
    budgets, state = parent.spec.budgets, parent.known
    siblings = [child.known.spent for child in parent.children.values() if child is not None and child.state is not None]
    spent = [state.spent, *siblings]
    tokens, dollars = sum(s.usage.total for s in spent), sum(s.known_usd for s in spent)
    steps, seconds = state.steps + len(parent.children), parent.seconds_left()
    if budgets.cost is not None and any(s.unpriced for s in spent):
        raise Exhausted("a model call of this run has no known price, so its cost budget cannot be kept", code="price_unknown")
    for name, limit, taken in (
        ("steps", budgets.steps, steps),
        ("tokens", budgets.tokens, tokens),
        ("cost", budgets.cost, dollars),
    ):
        if limit is not None and taken >= limit:
            raise Exhausted(f"the run's {name} budget of {limit:g} is used up", code="budget_exceeded")
    if seconds <= 0:
        raise Exhausted("the run's seconds budget is used up", code="budget_exceeded")
    return Budgets(
        steps=1,
        tool_calls=None,
        tokens=None if budgets.tokens is None else budgets.tokens - tokens,
        seconds=None if budgets.seconds is None else seconds,
        cost=None if budgets.cost is None else budgets.cost - dollars,
    )


def _refuse_outside(messages: Sequence[Message]) -> None:
    parts = (part for message in messages for part in message.parts)
    for part in parts:
        for piece in part.parts if isinstance(part, ToolResult) else (part,):
            if _lies_outside(piece):
                raise Invalid("code sends images and files as data, not by address or id", param="messages", code="not_data")


def _lies_outside(part: Part) -> bool:
    if isinstance(part, Image):
        return bool(part.file) or part.url[:5].lower() != "data:"
    return isinstance(part, File) and bool(part.file)
