"""What of a request a model has no place for although its wire format has one: it is left out, and the caller is told. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from .anthropic_models import TIERS, abilities, takes_sampling
from .gemini_config import thinks
from .wires import Wire

_STRICT = "tools[].function.strict"
_NAME = "messages[].name"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request may be left out: `parameters` by OpenAI's names; `strict`: a tool wants its schema kept to; `named`:
    messages name who said them."""

    parameters: Mapping[str, Any]
    strict: bool = False
    named: bool = False


def unheeded(wire: Wire, model: str, version: str, wanted: Wanted) -> Iterator[str]:
    """The names of what is left out. `version` is of the provider's API."""
    parameters, strict = wanted.parameters, wanted.strict
    if wanted.named and wire not in ("openai", "offline"):
        yield _NAME
    effort = parameters.get("reasoning_effort")
    match wire:
        case "anthropic":
            yield from _by_claude(model, version, parameters, strict=strict)
        case "gemini":
            if effort is not None and not thinks(model):
                yield "reasoning_effort"
            if strict:
                yield _STRICT
        case "ollama":
            if strict:
                yield _STRICT
        case _:
            pass  # OpenAI's dialect takes all of it, or refuses it


def _by_claude(model: str, version: str, parameters: Mapping[str, Any], *, strict: bool) -> Iterator[str]:
    known = abilities(model)
    thinking = parameters.get("reasoning_effort") not in (None, "none")
    if thinking and known.thinking == "none":
        yield "reasoning_effort"
    sampling = [name for name in ("temperature", "top_p") if name in parameters]
    if not takes_sampling(known, version) or (thinking and known.thinking != "none"):
        yield from sampling
    elif not known.both_samplings and len(sampling) > 1:
        yield "top_p"
    if parameters.get("service_tier", "auto") not in TIERS:
        yield "service_tier"
    if strict and not known.native_schema:
        yield _STRICT
