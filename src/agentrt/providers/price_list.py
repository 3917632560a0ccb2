"""A program: what genai-prices knows of the providers that standard input names, as JSON on standard output.

It runs in a process of its own: the library takes half a second and 25 MiB, of which the server needs a few kilobytes. In:
`{NAME: URL}`. Out: `{NAME: [[CLAUSE, CONTEXT, [[SINCE, FROM, UNTIL, PRICE], ...]], ...]}`, models in the order in which they
are tried; a clause is a word and what it is about, such as `["starts", "gpt-4o"]`.
"""

import json
import sys
from typing import Any

_ALIASES = {"gemini": "google"}
# Names of our kinds of tokens, and those of the library.
_KINDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "image_input": "input_image_mtok",
    "image_output": "output_image_mtok",
}
_WORDS = {
    "ClauseStartsWith": ("starts", "starts_with"),
    "ClauseEndsWith": ("ends", "ends_with"),
    "ClauseContains": ("contains", "contains"),
    "ClauseRegex": ("regex", "regex"),
    "ClauseEquals": ("equals", "equals"),
    "ClauseOr": ("or", "or_"),
    "ClauseAnd": ("and", "and_"),
}


def main() -> None:
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    by_id = {provider.id: provider for provider in snapshot.providers}
    out: dict[str, Any] = {}
    for name, url in json.load(sys.stdin).items():
        provider = _found(snapshot, None, url) or _found(snapshot, _ALIASES.get(name, name), None)
        if provider is not None:
            others = [by_id[id_] for id_ in provider.fallback_model_providers or () if id_ in by_id]
            out[name] = [listed for of in (provider, *others) for model in of.models if (listed := _listed(model))]
    json.dump(out, sys.stdout)


def _found(snapshot: Any, name: str | None, url: str | None) -> Any:
    try:
        return snapshot.find_provider(None, name, url)
    except LookupError:
        return None


def _listed(model: Any) -> list[Any]:
    if isinstance(model.prices, list):
        prices = [_dated(entry) for entry in model.prices]
    else:
        prices = [[None, None, None, _price(model.prices)]]
    return [_clause(model.match), model.context_window, [entry for entry in prices if entry[-1] is not None]]


def _dated(entry: Any) -> list[Any]:
    when = entry.constraint
    since = when.start_date.isoformat() if hasattr(when, "start_date") else None
    if not hasattr(when, "start_time"):
        return [since, None, None, _price(entry.prices)]
    # the library's times of day are all in UTC
    return [since, f"{when.start_time:%H:%M:%S}", f"{when.end_time:%H:%M:%S}", _price(entry.prices)]


def _price(prices: Any) -> dict[str, Any] | None:
    """The price, with those of its tiers; None where nothing is said of input."""
    given = {ours: rate for ours, theirs in _KINDS.items() if (rate := getattr(prices, theirs, None)) is not None}
    if "input" not in given:
        return None
    begins = sorted({tier.start for rate in given.values() for tier in getattr(rate, "tiers", ())})
    out = _rates(prices, given, 0)
    if begins:
        out["tiers"] = [{"above": begin, "price": _rates(prices, given, begin)} for begin in begins]
    return out


def _rates(prices: Any, given: dict[str, Any], begin: int) -> dict[str, Any]:
    out: dict[str, Any] = {name: _rate(rate, begin) for name, rate in given.items()}
    if (thousand := getattr(prices, "requests_kcount", None)) is not None:
        out["request"] = _rate(thousand, begin) / 1000
    return out


def _rate(rate: Any, begin: int) -> float:
    """The rate from `begin` input tokens on."""
    reached = [tier.price for tier in getattr(rate, "tiers", ()) if tier.start <= begin]
    return float(reached[-1] if reached else getattr(rate, "base", rate))


def _clause(clause: Any) -> list[Any]:
    word, field = _WORDS[type(clause).__name__]
    about = getattr(clause, field)
    return [word, [_clause(inner) for inner in about] if isinstance(about, list) else about]


if __name__ == "__main__":
    main()
