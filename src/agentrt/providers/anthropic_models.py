"""What Anthropic's models take, read off their names. A name that says nothing is tried with what most take. Pure."""

import re
from functools import lru_cache
from typing import Literal

import msgspec

_NUMBER = re.compile(r"claude-(?:[a-z]+-)?(\d)(?:[-.](\d{1,2}))?(?!\d)")
_FAMILY = re.compile(r"opus|sonnet|haiku|fable|mythos")

EFFORTS = ("low", "medium", "high", "xhigh", "max")
# Its words for OpenAI's service tiers; it has none for others.
TIERS = {"auto": "auto", "priority": "auto", "fast": "auto", "default": "standard_only", "flex": "standard_only"}
# From this version of the API on no model takes sampling parameters.
_UNSAMPLED = "2026-10-21"


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """`most` is asked for where the caller sets no limit: Anthropic wants one. `thinking` is how it is asked for: a `budget`
    of tokens, or `adaptive` with an effort out of `efforts`. `unasked`: it thinks when nothing is said of it, and `off`
    is how that is turned off: by saying nothing, by the name of a thinking type, or not at all."""

    most: int = 8192
    sampling: bool = True
    both_samplings: bool = True
    thinking: Literal["none", "budget", "adaptive"] = "budget"
    efforts: tuple[str, ...] = ()
    unasked: bool = False
    off: Literal["silence", "disabled", "between_tools", "never"] = "silence"
    forced_tools: bool = True
    native_schema: bool = False


@lru_cache(maxsize=256)
def abilities(model: str) -> Abilities:
    """Of `model` as it is named anywhere: bare, dated, or with the prefixes and suffixes of resellers."""
    if "claude" not in model:
        return Abilities()
    found = _NUMBER.search(model)
    version = _version(found)
    family = named[0] if (named := _FAMILY.search(model)) else ""
    if version < (4, 6):
        return _early(version, family)
    adaptive = Abilities(most=128_000, thinking="adaptive", native_schema=True)
    if version == (4, 6):
        return msgspec.structs.replace(adaptive, both_samplings=False, efforts=("low", "medium", "high", "max"))
    adaptive = msgspec.structs.replace(adaptive, sampling=False, efforts=EFFORTS)
    if version < (5, 0):
        return adaptive
    return msgspec.structs.replace(
        adaptive, unasked=True, off=_off(version, family), forced_tools=not _refuses_force(version, family)
    )


def takes_sampling(known: Abilities, api_version: str) -> bool:
    """Whether a model takes `temperature` and its like at all; none does while it thinks."""
    return known.sampling and api_version[-len(_UNSAMPLED) :] < _UNSAMPLED  # `bedrock-` or `vertex-` may come before


def _version(found: re.Match[str] | None) -> tuple[int, int]:
    return (5, 0) if found is None else (int(found[1]), int(found[2] or 0))


def _early(version: tuple[int, int], family: str) -> Abilities:
    if version < (3, 5):
        return Abilities(most=4096, thinking="none")
    if version < (3, 7):
        return Abilities(thinking="none")
    newer = version >= (4, 5)
    return Abilities(
        most=64_000 if newer else 16_000,
        both_samplings=version < (4, 1),
        native_schema=newer or (version, family) == ((4, 1), "opus"),
    )


def _off(version: tuple[int, int], family: str) -> Literal["disabled", "between_tools", "never"]:
    if family in ("fable", "mythos"):
        return "never"
    if version < (5, 5) or family == "haiku":
        return "disabled"
    return "between_tools" if family == "sonnet" else "never"


def _refuses_force(version: tuple[int, int], family: str) -> bool:
    """These answer 400 to a request that makes them call a tool."""
    if family in ("fable", "mythos"):
        return version >= (5, 1)
    return version == (5, 5) and family in ("opus", "sonnet")
