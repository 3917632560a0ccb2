"""`when` of a model in a chain: a CEL expression over the request that is to be answered. Pure.

The library is imported when the first condition is met: it takes a quarter of a second that agents without one do not pay.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agentrt.kernel import suggest

CONDITION_VARIABLES = {
    "vision": "whether the conversation holds an image",
    "tokens": "the estimated size of the whole request in tokens",
    "tools": "how many tools are offered",
    "user": "the end user's name as the caller gave it, or empty",
    "metadata": "what the caller sent as metadata; has(metadata.anything) asks whether it was sent",
}
_SAMPLE: Mapping[str, Any] = {"vision": False, "tokens": 1, "tools": 0, "user": "", "metadata": {}}
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")
_UNDEFINED = re.compile(r"Undefined variable or function: '(\w+)'")
# `list.exists(name, …)` and its kin declare a name of their own
_DECLARED = re.compile(r"\.(?:all|exists|exists_one|filter|map)\(\s*(\w+)\s*,")


class ConditionFailed(Exception):
    """The condition could not be evaluated for this request: a name in `metadata` is missing, or the types do not fit."""


def holds(expression: str, facts: Mapping[str, Any]) -> bool:
    """Whether the condition is true for a request with these `CONDITION_VARIABLES`. ConditionFailed where that has no answer."""
    try:
        value = _program(expression).execute(dict(facts))
    except KeyError as exc:
        raise ConditionFailed(f"there is no {exc}") from exc
    except (ValueError, TypeError, RuntimeError, OverflowError) as exc:
        raise ConditionFailed(str(exc)) from exc
    if not isinstance(value, bool):
        raise ConditionFailed(f"it gives {type(value).__name__}, not true or false")
    return value


def problem_in(expression: str) -> tuple[str, int] | None:
    """What is wrong with a condition whatever the request, and the line in it; None where nothing is."""
    try:
        program = _program(expression)
    except ValueError as exc:
        return _syntax(str(exc))
    known = {*CONDITION_VARIABLES, *_DECLARED.findall(expression)}
    for name in program.variables():
        if name not in known:
            return f"the condition uses the unknown name {name!r}{suggest(name, tuple(CONDITION_VARIABLES))}", 0
    try:
        value = program.execute(dict(_SAMPLE))
    except (KeyError, ValueError, TypeError, OverflowError):
        return None  # another request may have what this sample lacks
    except RuntimeError as exc:
        unknown = _UNDEFINED.search(str(exc))
        return (f"the condition uses the unknown function {unknown[1]!r}", 0) if unknown else None
    return None if isinstance(value, bool) else (f"the condition gives {type(value).__name__}, not true or false", 0)


@lru_cache(maxsize=512)
def _program(expression: str) -> Any:
    """ValueError where it is no CEL."""
    import cel

    return cel.compile(expression)


def _syntax(message: str) -> tuple[str, int]:
    found = _PLACE.search(message)
    if found is None:
        return "the condition cannot be read", 0
    said = found[3].partition(" expecting {")[0]
    return f"the condition cannot be read: {said} (column {found[2]})", int(found[1])
