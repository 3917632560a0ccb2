import pytest

from agentrt.events import CallerTool
from agentrt.kernel import Invalid
from agentrt.openai_api.decode import FIELDS
from agentrt.openai_api.functions import refuse_collisions, refuse_impossible_choice
from agentrt.openai_api.parameters import ADVISORY, Rules, normalised, settle

NAMED = {"type": "function", "function": {"name": "f"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}


def test_honoured_parameters_go_to_the_model_unchanged():
    asked = {"temperature": 0.5, "stop": ["x"], "tool_choice": "auto", "response_format": {"type": "json_object"}}
    assert settle(asked, {}, Rules()) == (asked, ())


def test_advisory_ones_go_where_the_dialect_takes_them_and_are_else_dropped_with_notice():
    asked = {"seed": 1, "logit_bias": {"1": 2.0}, "temperature": 1.0}
    assert settle(asked, {}, Rules(advisory=ADVISORY)) == (asked, ())
    assert settle(asked, {}, Rules(advisory={"seed"})) == ({"seed": 1, "temperature": 1.0}, ("logit_bias",))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}),
        ("web_search_options", {}),
    ],
)
def test_what_changes_the_meaning_of_the_answer_is_refused_by_name(name, value):
    with pytest.raises(Invalid) as caught:
        settle(normalised({name: value}), {}, Rules())
    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


def test_an_agent_that_says_drop_drops_it_with_notice():
    asked = {"n": 2, "seed": 1}
    assert settle(asked, {"top_k": 3}, Rules(unsupported="drop")) == ({}, ("n", "seed", "top_k"))


def test_an_agent_that_says_error_refuses_advisory_ones_too():
    with pytest.raises(Invalid) as caught:
        settle({"seed": 1}, {}, Rules(unsupported="error"))
    assert caught.value.param == "seed"
    assert settle({"seed": 1}, {}, Rules(unsupported="error", advisory=ADVISORY)) == ({"seed": 1}, ())


def test_what_is_locked_the_caller_cannot_change():
    rules = Rules(locked=("temperature", "n", "top_k"))
    assert settle({"temperature": 2.0, "top_p": 0.5, "n": 2}, {"top_k": 1}, rules) == (
        {"top_p": 0.5},
        ("temperature", "n", "top_k"),
    )


def test_unknown_ones_are_forwarded_by_a_pass_through_and_else_refused_with_a_suggestion():
    forwards = Rules(forwards_unknown=True, advisory=ADVISORY)
    assert settle({"web_search_options": {}}, {"top_k": 3}, forwards) == ({"web_search_options": {}, "top_k": 3}, ())
    with pytest.raises(Invalid) as caught:
        settle({}, {"temprature": 1}, Rules())
    assert (caught.value.param, caught.value.code) == ("temprature", "unknown_parameter")
    assert "Did you mean 'temperature'?" in caught.value.message


def test_a_pass_through_still_refuses_what_one_answer_cannot_hold():
    with pytest.raises(Invalid):
        settle({"n": 2}, {}, Rules(forwards_unknown=True, advisory=ADVISORY))


def test_every_advisory_parameter_is_one_that_the_body_knows():
    assert ADVISORY <= FIELDS


def test_a_choice_of_tool_must_be_possible():
    for choice in ("none", "auto"):
        refuse_impossible_choice(choice, ())
    for choice in ("required", NAMED, ALLOWED):
        refuse_impossible_choice(choice, {"f"})
        with pytest.raises(Invalid) as caught:
            refuse_impossible_choice(choice, ())
        assert caught.value.param == "tool_choice"


def test_a_function_may_not_take_the_name_of_a_tool_of_the_agent():
    tools = (CallerTool(name="mine"), CallerTool(name="clock"))
    refuse_collisions(tools, {"calculator"}, "default")
    with pytest.raises(Invalid) as caught:
        refuse_collisions(tools, {"clock"}, "default")
    assert (caught.value.param, caught.value.code) == ("tools[1].function.name", "tool_name_taken")
