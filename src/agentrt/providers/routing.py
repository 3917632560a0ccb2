"""In which order the models of a chain are asked for one request. Pure: the same chain, request and key give the same route."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from agentrt.agents import ModelEntry, Retry
from agentrt.kernel import Invalid
from agentrt.messages import File, Image, Message, ToolResult

from .choice import OFFLINE, Choice, Directory
from .client import ModelAsk
from .estimate import tokens_asked
from .fitness import Misfit


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """The models of which one is to answer, as a run follows them. `metadata` is what conditions see; the same `key` always
    draws the same among weighted models; `retry` holds for those that have none of their own."""

    entries: tuple[ModelEntry, ...]
    retry: Retry
    metadata: dict[str, Any] = {}
    key: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What conditions may look at, and the `key` of the draw: the same key always draws the same among weighted models.

    The caller's new messages begin at `since` in the ask's, and stood at `sent` in what it sent.
    """

    ask: ModelAsk = ModelAsk(model="")
    metadata: dict[str, Any] = {}
    key: str = ""
    since: int = 0
    sent: int = 0

    def facts(self) -> dict[str, Any]:
        """The variables of conditions."""
        ask = self.ask
        return {
            "vision": any(map(_has_image, ask.messages)),
            "tokens": tokens_asked(ask),
            "tools": len(ask.tools) + len(ask.caller_tools),
            "user": ask.user,
            "metadata": self.metadata,
        }


class Leg(msgspec.Struct, frozen=True):
    """One model of a route, and what the chain says of it."""

    choice: Choice
    entry: ModelEntry


class Route(msgspec.Struct, frozen=True):
    """The models to ask, in order; none where no condition holds. `skipped` says why those before the first are passed over."""

    legs: tuple[Leg, ...]
    skipped: tuple[str, ...] = ()


OFFLINE_LEG = Leg(Choice(OFFLINE, OFFLINE), ModelEntry(model=f"{OFFLINE}/{OFFLINE}"))


def find_route(entries: Sequence[ModelEntry], key: str, holds: Callable[[str], bool], directory: Directory) -> Route:
    """The order of `entries` for a request for which conditions are true as `holds` says.

    Neighbours with a weight are one group: its first is drawn by weight, the others follow, drawn from what is left. Where
    nothing in the chain is configured the offline model serves; else it answers only where the chain names it.
    """
    legs: list[Leg] = []
    skipped: list[str] = []
    configured = False
    for entry in _drawn(entries, key):
        found = directory.look_up(entry.model)
        if isinstance(found, Choice):
            configured = True
            if not entry.when or holds(entry.when):
                legs.append(Leg(found, entry))
                continue
            found = f"its condition does not hold: {entry.when.strip()}"
        if not legs:
            skipped.append(f"{entry.model}: {found}")
    return Route(tuple(legs) if configured else (OFFLINE_LEG,), tuple(skipped))


class Unfit(Exception):
    """No model of a route takes the request: what the first of them does not take."""

    def __init__(self, choice: Choice, misfit: Misfit) -> None:
        super().__init__(f"{choice.name} takes no {misfit.what}")
        self.choice, self.misfit = choice, misfit


def refusal_of(unfit: Unfit, request: Request) -> Invalid:
    """What a caller is told: which of the parts that it sent is the obstacle."""
    misfit = unfit.misfit
    if misfit.param:
        return Invalid(f"{unfit}.", code="unsupported_parameter", param=misfit.param)
    if misfit.message < request.since:
        return Invalid(f"{unfit}, and an earlier message has some.", code="unsupported_content", param="messages")
    place = f"messages[{misfit.message - request.since + request.sent}].content[{misfit.part}]"
    return Invalid(f"{unfit}: '{place}' cannot be sent to it.", code="unsupported_content", param=place)


def fitting(route: Route, since: int, misfits: Callable[[Choice], list[Misfit]]) -> Route:
    """The route without the models that are known not to take the request; Unfit where it would be empty.

    What tools returned before message `since` keeps no model out: those that it does not fit are only asked last.
    """
    hard: list[tuple[Leg, Misfit]] = []
    able: list[tuple[bool, Leg]] = []
    skipped = list(route.skipped)
    for leg in route.legs:
        found = misfits(leg.choice)
        refused = next((misfit for misfit in found if not misfit.by_tool or misfit.message >= since), None)
        if refused is None:
            able.append((bool(found), leg))
        else:
            hard.append((leg, refused))
            if not able:
                skipped.append(f"{leg.choice.name}: it takes no {refused.what}")
    if hard and not able:
        raise Unfit(hard[0][0].choice, hard[0][1])
    legs = tuple(leg for _, leg in sorted(able, key=lambda found: found[0]))
    return Route(legs, tuple(skipped))


def _drawn(entries: Sequence[ModelEntry], key: str) -> Iterator[ModelEntry]:
    for weighted, group in groupby(entries, lambda entry: entry.weight is not None):
        members = list(group)
        # The smallest of exponential waiting times belongs to each member with the probability of its share.
        yield from sorted(members, key=lambda entry: _waiting_time(entry, key)) if weighted else members


def _waiting_time(entry: ModelEntry, key: str) -> float:
    assert entry.weight is not None, "only weighted models are drawn"
    drawn = hashlib.blake2b(f"{key} {entry.model}".encode(), digest_size=7).digest()
    return -math.log((int.from_bytes(drawn) + 1) / 2**56) / entry.weight


def _has_image(message: Message) -> bool:
    parts = [inner for part in message.parts for inner in (part.parts if isinstance(part, ToolResult) else (part,))]
    return any(isinstance(part, Image) or (isinstance(part, File) and part.media_type.startswith("image/")) for part in parts)
