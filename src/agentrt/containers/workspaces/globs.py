"""Patterns of paths: `*`, `?` and `[…]` within a name, `**` over any number of folders."""

import fnmatch
import re

from agentrt.kernel import Invalid

_MOST_PARTS = 64
_ANY_DEPTH = "**"


class Pattern:
    """A pattern, ready. Names that begin with a dot match only parts that begin with one. Invalid where it is too long."""

    def __init__(self, pattern: str) -> None:
        parts = pattern.split("/")
        if len(parts) > _MOST_PARTS:
            raise Invalid(f"the pattern has more than {_MOST_PARTS} parts", code="invalid_pattern", param="pattern")
        self._parts = [None if part == _ANY_DEPTH else _part(part) for part in parts]
        self.deep = len(parts) > 1 or None in self._parts

    def matches(self, path: str) -> bool:
        """Whether a relative path does."""
        names = path.split("/")
        # which numbers of names the parts so far can stand for: no pattern makes this go round for long
        reached = {0}
        for part in self._parts:
            if part is None:
                reached = _any_depth(reached, names)
            else:
                reached = {at + 1 for at in reached if at < len(names) and part.match(names[at])}
            if not reached:
                return False
        return len(names) in reached


def _any_depth(reached: set[int], names: list[str]) -> set[int]:
    out = set(reached)
    for at, name in enumerate(names):
        if at in out and not name.startswith("."):
            out.add(at + 1)
    return out


def _part(part: str) -> re.Pattern[str]:
    hidden = "" if part.startswith(".") else r"(?!\.)"
    return re.compile(hidden + fnmatch.translate(part), re.DOTALL)
