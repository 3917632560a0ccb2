"""What OpenAI's parameters mean to Gemini: `generationConfig` and `toolConfig`. Pure."""

import re
from collections.abc import Mapping
from typing import Any

_GENERATION = re.compile(r"gemini-(\d+)(?:[.-](\d))?(?![\d])")
_PLAIN = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
# What Google's own OpenAI surface makes of an effort.
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_LEVELS = {"none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
_LEAST_BUDGET_OF_PRO = 128

_Json = dict[str, Any]


def generation(model: str) -> float:
    """The generation that a model's name tells (2.5); aliases are of the newest, and 0 is one that no name tells."""
    if (found := _GENERATION.search(model)) is not None:
        return float(f"{found[1]}.{found[2] or 0}")
    return 99.0 if re.search(r"gemini-(?:[a-z-]+-)?latest\b", model) else 0.0


def thinks(model: str) -> bool:
    """False for a model that is known not to think before it answers."""
    return not 0 < generation(model) < 2.5


def answers_in_form_with_tools(model: str) -> bool:
    """Whether the model takes a form for its answer and functions in one request."""
    return generation(model) >= 3


def generation_config(model: str, parameters: Mapping[str, Any], *, in_form: bool) -> _Json:
    """`generationConfig` for OpenAI's parameters; `in_form`: whether `response_format` is to be enforced by the provider."""
    out: _Json = {ours: value for name, ours in _PLAIN.items() if (value := parameters.get(name)) is not None}
    limit = parameters.get("max_completion_tokens")
    if (limit := parameters.get("max_tokens") if limit is None else limit) is not None:
        out["maxOutputTokens"] = limit
    if stop := parameters.get("stop"):
        out["stopSequences"] = [stop] if isinstance(stop, str) else list(stop)
    if in_form:
        out |= _form(parameters.get("response_format") or {})
    if (effort := parameters.get("reasoning_effort")) is not None and (thinking := _thinking(model, effort)):
        out["thinkingConfig"] = thinking
    return out


def tool_config(choice: Any) -> _Json | None:
    """`toolConfig` for OpenAI's `tool_choice`; None where the model is free, which is the default."""
    match choice:
        case "none":
            return _calling("NONE")
        case "required":
            return _calling("ANY")
        case {"type": "function", "function": {"name": str(name)}}:
            return _calling("ANY", [name])
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}:
            names = [tool["function"]["name"] for tool in tools if tool.get("type") == "function"]
            # AUTO knows no list of names; VALIDATED is as free, and does.
            return _calling("ANY" if mode == "required" else "VALIDATED", names)
        case _:
            return None


def _calling(mode: str, names: list[str] | None = None) -> _Json:
    config: _Json = {"mode": mode}
    if names:
        config["allowedFunctionNames"] = names
    return {"functionCallingConfig": config}


def _form(response_format: Mapping[str, Any]) -> _Json:
    match response_format:
        case {"type": "json_object"} | {"type": "json_schema", "json_schema": {"schema": None}}:
            return {"responseMimeType": "application/json"}
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return {"responseMimeType": "application/json", "responseJsonSchema": schema}
        case {"type": "json_schema"}:
            return {"responseMimeType": "application/json"}
        case _:
            return {}


def _thinking(model: str, effort: str) -> _Json:
    if not thinks(model):
        return {}
    known = generation(model)
    show = {"includeThoughts": True} if effort != "none" else {}
    if known == 2.5:
        return {"thinkingBudget": _budget(model, effort)} | show
    return {"thinkingLevel": _level(model, effort)} | show


def _budget(model: str, effort: str) -> int:
    if effort == "none":
        return _LEAST_BUDGET_OF_PRO if "pro" in model else 0  # Pro cannot but think
    return _BUDGETS.get(effort, -1)


def _level(model: str, effort: str) -> str:
    known, level = generation(model), _LEVELS.get(effort, "high")
    if level == "minimal":
        small = "flash-lite" in model or ("flash" in model and known < 3.7)
        return level if small or not known else "low"  # the others refuse it
    if level == "medium" and known == 3 and "pro" in model:
        return "high"  # the first one has no middle
    return level
