"""What a model leaves out of a request is told; what it would leave out to another meaning is refused."""

from typing import Any, get_args

import pytest

from agentrt.messages import says
from agentrt.providers import ModelAsk, Wanted
from agentrt.providers.abilities import known_abilities
from agentrt.providers.anthropic_request import request_body
from agentrt.providers.fitness import misfits
from agentrt.providers.unheeded import unheeded
from agentrt.providers.wires import Wire

STRICT = "tools[].function.strict"
BOTH = {"temperature": 0.5, "top_p": 0.5}


@pytest.mark.parametrize(
    ("wire", "model", "parameters", "strict", "told"),
    [
        ("anthropic", "claude-sonnet-4-5", {"temperature": 0.5}, True, []),
        ("anthropic", "claude-sonnet-4-5", BOTH, False, ["top_p"]),
        ("anthropic", "claude-sonnet-4-5", BOTH | {"reasoning_effort": "high"}, False, ["temperature", "top_p"]),
        ("anthropic", "claude-sonnet-4-5", {"temperature": 0.5, "reasoning_effort": "none"}, False, []),
        ("anthropic", "claude-opus-4-7", {"temperature": 0.5}, False, ["temperature"]),
        ("anthropic", "claude-sonnet-5-5", {"top_p": 0.5, "service_tier": "scale"}, False, ["top_p", "service_tier"]),
        ("anthropic", "claude-3-5-haiku-latest", {"reasoning_effort": "low"} | BOTH, True, ["reasoning_effort", STRICT]),
        ("gemini", "gemini-2.0-flash", {"reasoning_effort": "low", "temperature": 1}, False, ["reasoning_effort"]),
        ("gemini", "gemini-2.5-flash", {"reasoning_effort": "low"}, True, [STRICT]),
        ("ollama", "qwen3:4b", {"reasoning_effort": "low"} | BOTH, True, [STRICT]),
        ("openai", "gpt-4o", {"reasoning_effort": "low"} | BOTH, True, []),
        ("openai_responses", "gpt-5.5", BOTH, True, []),
    ],
)
def test_what_is_left_out_is_told(wire: Wire, model: str, parameters: Any, strict: bool, told: list[str]) -> None:
    assert list(unheeded(wire, model, "2023-06-01", Wanted(parameters=parameters, strict=strict))) == told


@pytest.mark.parametrize("wire", get_args(Wire))
def test_who_said_a_message_is_told_to_openais_models_only(wire: Wire) -> None:
    told = list(unheeded(wire, "m", "", Wanted(parameters={}, named=True)))
    assert told == ([] if wire in ("openai", "offline") else ["messages[].name"])


def test_a_newer_version_of_anthropics_api_takes_no_sampling_from_anyone() -> None:
    assert list(unheeded("anthropic", "claude-sonnet-4-5", "2026-10-21", Wanted(parameters=BOTH))) == ["temperature", "top_p"]


@pytest.mark.parametrize("model", ["claude-3-5-haiku-latest", "claude-3-7-sonnet", "claude-sonnet-4-5", "claude-opus-4-7"])
@pytest.mark.parametrize("effort", [None, "none", "high"])
@pytest.mark.parametrize("given", [BOTH, {"temperature": 0.5}, {"top_p": 0.5}])
def test_what_is_told_is_what_is_not_sent(model: str, effort: str | None, given: dict[str, Any]) -> None:
    parameters = given | ({"reasoning_effort": effort} if effort else {})
    body = request_body(ModelAsk(model=model, messages=(says("user", "Hi"),), parameters=parameters), "anthropic", "2023-06-01")
    told = set(unheeded("anthropic", model, "2023-06-01", Wanted(parameters=parameters)))
    assert {name for name in given if f'"{name}"'.encode() not in body} == told - {"reasoning_effort"}


@pytest.mark.parametrize(
    ("stop", "refused"), [("\n\n", True), (["END", " "], True), ("END\n", False), (["END"], False), ("", False), ([], False)]
)
def test_anthropic_takes_no_stop_texts_of_white_space(stop: Any, refused: bool) -> None:
    ask = ModelAsk(model="claude-sonnet-4-5", parameters={"stop": stop})
    found = list(misfits(ask, "anthropic", known_abilities("anthropic", ask.model)))
    assert [misfit.param for misfit in found] == (["stop"] if refused else [])
    assert list(misfits(ask, "openai", known_abilities("openai", ask.model))) == []
