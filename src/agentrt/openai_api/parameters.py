"""Three classes of parameters: honoured ones, advisory ones, and ones that change what the answer means. Pure.

Advisory ones go where the provider's dialect takes them and are else dropped with notice. What would change the meaning of
the answer and cannot be had is refused. An agent's `unsupported` moves that line; what it locks a caller cannot change.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec

from agentrt.agents import BadForm, form_of
from agentrt.kernel import Invalid

from .decode import FIELDS, suggestion

ADVISORY = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "verbosity",
    }
)
# The advisory parameters that each wire format has a place for.
_SAMPLING = frozenset({"frequency_penalty", "presence_penalty", "seed"})
ADVISORY_OF: Mapping[str, Collection[str]] = {
    "anthropic": frozenset({"parallel_tool_calls", "safety_identifier", "service_tier"}),
    "gemini": _SAMPLING,
    "ollama": _SAMPLING,
    "openai": ADVISORY,
    "openai_responses": ADVISORY - _SAMPLING - {"logit_bias", "prediction", "store"},
}
# Answered by OpenAI's own service only: forwarded by a pass-through, like what we have never heard of.
_FOREIGN = frozenset({"moderation", "web_search_options"})
_MEANING = {
    "n": "an answer has one choice",
    "logprobs": "log probabilities are not available",
    "top_logprobs": "log probabilities are not available",
    "modalities": "answers are text",
    "audio": "answers are text",
    "functions": "send 'tools'",
    "function_call": "send 'tool_choice'",
}
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"], []),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "stop": ([],),
}


class ParameterClasses(msgspec.Struct, frozen=True, kw_only=True):
    """`honoured`: they govern the answer; `advisory`: they are sent along; `ignored`: dropped with notice; `refused`: a 400."""

    honoured: list[str]
    advisory: list[str]
    ignored: list[str]
    refused: list[str]


def classes_of(wire: str) -> ParameterClasses:
    """What becomes of each parameter where a model is asked in this wire format, unless its agent says otherwise."""
    taken = ADVISORY & frozenset(ADVISORY_OF.get(wire, ()))
    return ParameterClasses(
        honoured=sorted(FIELDS - ADVISORY - _FOREIGN - frozenset(_MEANING)),
        advisory=sorted(taken),
        ignored=sorted(ADVISORY - taken),
        refused=sorted(_FOREIGN | frozenset(_MEANING)),
    )


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What governs a request's parameters: the agent's word, and what the chosen provider's dialect takes."""

    advisory: Collection[str] = ()
    forwards_unknown: bool = False
    locked: Collection[str] = ()
    unsupported: Literal["drop", "error"] | None = None


def normalised(sent: dict[str, Any]) -> dict[str, Any]:
    """`sent` without what says nothing, under one name each; Invalid for contradictions and malformed values."""
    asked = {name: value for name, value in sent.items() if value not in _HARMLESS.get(name, ())}
    most = asked.pop("max_completion_tokens", None)
    if most is not None and asked.setdefault("max_tokens", most) != most:
        raise Invalid(
            "'max_tokens' and 'max_completion_tokens' differ; send one of them.",
            code="invalid_value",
            param="max_completion_tokens",
        )
    if (wanted := asked.get("response_format")) is not None:
        _check_response_format(wanted)
    return asked


def settle(asked: dict[str, Any], unknown: dict[str, Any], rules: Rules) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What goes to the model, and the names of what was dropped with notice. Invalid names what cannot be had."""
    taken: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in (*asked.items(), *unknown.items()):
        if name in rules.locked:
            ignored.append(name)
        elif (objection := _objection(name, rules)) is None:
            taken[name] = value
        elif (rules.unsupported or objection[1]) == "drop":
            ignored.append(name)
        else:
            raise objection[0]
    return taken, tuple(ignored)


def _objection(name: str, rules: Rules) -> tuple[Invalid, Literal["drop", "error"]] | None:
    """Why this parameter cannot be sent, and what happens then unless the agent says otherwise."""
    if name in _MEANING:
        return unsupported(name, _MEANING[name]), "error"
    if name in ADVISORY:
        return None if name in rules.advisory else (unsupported(name, "the model cannot take it"), "drop")
    if rules.forwards_unknown or (name in FIELDS and name not in _FOREIGN):
        return None
    if name in _FOREIGN:
        return unsupported(name, "only a pass-through to a provider that offers it can take it"), "error"
    message = f"Unknown parameter: '{name[:64]}'.{suggestion(name, FIELDS)}"
    return Invalid(message, code="unknown_parameter", param=name), "error"


def unsupported(name: str, why: str) -> Invalid:
    """The refusal of one parameter; `why` ends the sentence."""
    return Invalid(f"Unsupported parameter: '{name}': {why}.", code="unsupported_parameter", param=name)


def _check_response_format(wanted: dict[str, Any]) -> None:
    match wanted:
        case {"type": "text" | "json_object"} if len(wanted) == 1:
            return
        case {"type": "json_schema", "json_schema": {"name": str(), "schema": dict()}}:
            _check_schema(wanted)
        case {"type": "json_schema", "json_schema": {"name": str(), **rest}} if "schema" not in rest:
            return
        case {"type": "json_schema"}:
            raise Invalid(
                "'response_format.json_schema' needs a 'name' and a 'schema' that is an object.",
                code="invalid_value",
                param="response_format.json_schema",
            )
        case _:
            raise Invalid(
                "Invalid value for 'response_format': 'type' must be 'text', 'json_object' or 'json_schema'.",
                code="invalid_value",
                param="response_format.type",
            )


def _check_schema(wanted: dict[str, Any]) -> None:
    try:
        form_of(wanted)
    except BadForm as exc:
        place = "response_format.json_schema.schema"
        raise Invalid(f"Invalid schema for 'response_format': {exc}.", code="invalid_json_schema", param=place) from exc
