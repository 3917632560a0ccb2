"""Conditions of a chain: what they may say, what is wrong with them before any request, what they answer for one."""

from typing import Any

import pytest

from agentrt.agents import CONDITION_VARIABLES, AgentSpec, ConditionFailed, ModelEntry, check, holds
from agentrt.configs import BadDocument, parse

FACTS: dict[str, Any] = {"vision": True, "tokens": 5000, "tools": 2, "user": "ada", "metadata": {"tier": "gold", "n": 3}}


@pytest.mark.parametrize(
    ("expression", "true"),
    [
        ("vision", True),
        ("!vision", False),
        ("vision && tokens > 1000", True),
        ("tokens > 10000 || tools == 0", False),
        ("user == 'ada'", True),
        ("user in ['bob', 'eve']", False),
        ("metadata.tier == 'gold'", True),
        ("has(metadata.plan) && metadata.plan == 'free'", False),
        ("['gold', 'silver'].exists(tier, tier == metadata.tier)", True),
        ("user.startsWith('a')", True),
    ],
)
def test_a_condition_is_true_or_false_of_a_request(expression: str, true: bool) -> None:
    assert holds(expression, FACTS) is true
    assert check(AgentSpec(name="a", model=(ModelEntry(model="a/b", when=expression),))) == []


@pytest.mark.parametrize(
    "expression", ["metadata.plan == 'x'", "tokens > 'many'", "user.matches('(')", "metadata.n", "tokens + 1.5 > 2.0"]
)
def test_a_condition_without_an_answer_says_so(expression: str) -> None:
    with pytest.raises(ConditionFailed, match=r"."):
        holds(expression, FACTS)


def test_the_facts_of_a_request_are_the_documented_ones() -> None:
    assert list(FACTS) == list(CONDITION_VARIABLES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "model:\n  - {model: a/b, when: 'tokens >'}",
            "3:24: the condition cannot be read: mismatched input '<EOF>' (column 9) at $.model[0].when",
        ),
        (
            "model:\n  - model: a/b\n    when: |\n      vision\n        && )",
            "6:1: the condition cannot be read: mismatched input ')' (column 6) at $.model[0].when",
        ),
        (
            "model: [x/y, {model: a/b, when: visoin}]",
            "2:33: the condition uses the unknown name 'visoin' (did you mean 'vision'?) at $.model[1].when",
        ),
        (
            "model: [{model: a/b, when: shout(user)}]",
            "2:28: the condition uses the unknown function 'shout' at $.model[0].when",
        ),
        (
            "model: [{model: a/b, when: size(user)}]",
            "2:28: the condition gives int, not true or false at $.model[0].when",
        ),
        (
            "model: [{model: gpt}]",
            "2:17: 'gpt' is not a model: write provider/model, such as openai/gpt-5.5 at $.model[0].model",
        ),
        ("model: [a/b, {model: a/b}]", "2:14: 'a/b' is listed twice at $.model[1]"),
        ("model: [{model: a/b, wieght: 2}]", "2:22: unknown field 'wieght' (did you mean 'weight'?) at $.model[0]"),
    ],
)
def test_a_mistake_in_a_chain_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(BadDocument) as caught:
        parse(f"name: a\n{text}\n", AgentSpec, "a.yaml").require(check)
    assert [str(problem) for problem in caught.value.problems] == [f"a.yaml:{said}"]


def test_one_model_may_stand_in_a_chain_under_several_conditions() -> None:
    entries = (ModelEntry(model="a/b", when="vision"), ModelEntry(model="c/d"), ModelEntry(model="a/b"))
    assert check(AgentSpec(name="a", model=entries)) == []
