"""What a file of rules for the offline model can say (`configs/offline.yaml`).

    rules:
      - match: 'weather in (?P<city>\\w+)'
        calls: [{tool: '*__forecast', arguments: {place: '{city}'}}]
        after_tools: 'In {city}: {results}'

The first rule whose `match` and `model` fit answers; rules of files come before the built-in ones. Every text is a
template: `{1}` and `{name}` are groups of `match`, `{1..2}` the whole numbers from one group to another, `{text}` the
user's text, `{results}` what the tools returned, `{tools}` the ids on offer, `{model}` the model's name. Braces around
anything else stay as they are.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True): ...


class OfflineCall(_Rules, frozen=True):
    """A call of the first tool on offer that fits one of the globs `tool`.

    `arguments`: a mapping; or a list, which fills the tool's parameters in their order, required ones first; or a text that
    is a JSON object. Values take the types that the tool's schema wants; required ones that are missing are made up.
    """

    tool: str | tuple[str, ...]
    arguments: dict[str, Any] | list[Any] | str = {}

    @property
    def globs(self) -> tuple[str, ...]:
        return (self.tool,) if isinstance(self.tool, str) else self.tool


class OfflineUsage(_Rules, frozen=True):
    """Tokens to report instead of the estimate."""

    input: Annotated[int, Meta(ge=0)] = 0
    output: Annotated[int, Meta(ge=0)] = 0
    cached: Annotated[int, Meta(ge=0)] = 0
    reasoning: Annotated[int, Meta(ge=0)] = 0


class OfflineFailure(_Rules, frozen=True):
    """A failure to simulate, once `after` chunks were shown."""

    code: str = "server_error"
    message: str = "a failure that a rule of the offline model simulates"
    status: int = 500
    retryable: bool = False
    retry_after_s: float | None = None
    after: Annotated[int, Meta(ge=0)] = 0


class OfflineRule(_Rules, frozen=True):
    """An answer for what `match` (a regular expression, searched in the newest user text, case ignored) finds.

    With `calls`, the tools are called first and `after_tools` is the answer once their results are in. Where a tool is
    not on offer the answer is `reply`; a rule without one is passed over. `chunk` is the size of a streamed piece in
    characters, `delay_ms` the pause before each.
    """

    match: str = ""
    model: str = "*"
    reply: str = ""
    calls: tuple[OfflineCall, ...] = ()
    after_tools: str = "{results}"
    reasoning: str = ""
    chunk: Annotated[int, Meta(ge=1)] = 16
    delay_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0
    usage: OfflineUsage | None = None
    fail: OfflineFailure | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as exc:
            raise ValueError(f"`match` is not a regular expression: {exc}") from exc


class OfflineRules(_Rules, frozen=True):
    """One document of rules."""

    rules: tuple[OfflineRule, ...] = ()
