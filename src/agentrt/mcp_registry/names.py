"""Names that a model may use: `server__tool` within `[a-zA-Z0-9_-]{1,64}`, one per tool, the same at every start."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable

SEPARATOR = "__"

_LONGEST_SLUG = 32
_LONGEST_ID = 64
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
_UNDERSCORES = re.compile(r"_{2,}")


def slugs(servers: Iterable[str]) -> dict[str, str]:
    """The first half of tool ids for each server name. A slug holds no `__`, so an id splits in one way only."""

    def plain(name: str) -> str:
        return _UNDERSCORES.sub("_", _FORBIDDEN.sub("_", name)).strip("_")

    return _unique(servers, plain, _LONGEST_SLUG)


def tool_ids(slug: str, tools: Iterable[str]) -> dict[str, str]:
    """The id for each tool of the server `slug`."""
    start = f"{slug}{SEPARATOR}"
    halves = _unique(tools, lambda tool: _FORBIDDEN.sub("_", tool), _LONGEST_ID - len(start))
    return {tool: start + half for tool, half in halves.items()}


def _unique(names: Iterable[str], plain: Callable[[str], str], longest: int) -> dict[str, str]:
    """Each name in its plain form; with a hash of the name where that form is too long or others want it too.

    A name that needed no change keeps the form that others were changed into.
    """
    wanted = {name: plain(name) for name in names}
    takers = Counter(wanted.values())

    def settle(name: str, form: str) -> str:
        if form and len(form) <= longest and (takers[form] == 1 or form == name):
            return form
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        return f"{form[: longest - 9].rstrip('_')}_{mark}".lstrip("_")

    return {name: settle(name, form) for name, form in wanted.items()}
