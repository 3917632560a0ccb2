"""What the types of an agent file cannot say is refused when the file is loaded, at its place."""

import pytest

from agentrt.agents import AgentSpec, check
from agentrt.configs import BadDocument, parse

HEAD = "name: a\n"
ONE_MISTAKE = {
    "model: gpt-5.5": "2:8: 'gpt-5.5' is not a model: write provider/model, such as openai/gpt-5.5 at $.model",
    "model:\n  - openai/gpt-5.5\n  - Claude": (
        "4:5: 'Claude' is not a model: write provider/model, such as openai/gpt-5.5 at $.model[1]"
    ),
    "model: [a/b, a/b]": "2:14: 'a/b' is listed twice at $.model[1]",
    "aliases: [b, a]": "2:14: 'a' is the agent's name already at $.aliases[1]",
    "aliases: [b, b]": "2:14: 'b' is listed twice at $.aliases[1]",
    "locked: [temprature]": "2:10: 'temprature' is not a parameter (did you mean 'temperature'?) at $.locked[0]",
    "locked: [seed]": "2:10: 'seed' is locked but has no value: set it under `parameters` at $.locked[0]",
    "parameters: {tool_choice: atuo}": (
        "2:27: 'atuo' is not one of 'auto', 'none', 'required' (did you mean 'auto'?) at $.parameters.tool_choice"
    ),
    "parameters:\n  response_format: {type: json}": (
        "3:27: 'json' is not one of 'text', 'json_object', 'json_schema' (did you mean 'json_object'?) "
        "at $.parameters.response_format.type"
    ),
    "tools: [echo.*]": ("2:9: 'echo.*' can match no tool: ids are letters, digits, _ and -; *, ? and [abc] match at $.tools[0]"),
    "tools:\n  - match: 'a[b'": (
        "3:12: 'a[b' can match no tool: ids are letters, digits, _ and -; *, ? and [abc] match at $.tools[0].match"
    ),
    "tools: ['*', clock]": ("2:14: 'clock' has no effect after '*': the first rule that matches a tool governs it at $.tools[1]"),
    "tools: [clock, clock]": "2:16: 'clock' is listed twice at $.tools[1]",
    "session: {from: [user, user]}": "2:24: 'user' is listed twice at $.session.from[1]",
    "prompt: Hi {{ now }}": "2:9: 'now' changes per run: move it into `context` at $.prompt",
    "prompt: |\n  Hi.\n  For {{ metadata.team }}.": (
        "4:1: 'metadata' changes per run: move it into `context` (or use agent.metadata) at $.prompt"
    ),
    "context: |\n  {% if usr %}\n  x\n  {% endif %}": (
        "3:1: the template uses the unknown name 'usr' (did you mean 'user'?) at $.context"
    ),
    "prompt: |\n\n  {{ agent.nam }}": "4:1: the template uses the unknown name 'agent.nam' (did you mean 'name'?) at $.prompt",
    "prompt: |\n  a\n  {{ model": (
        "4:1: the template cannot be read: unexpected end of input, expected end of variable block at $.prompt"
    ),
    "prompt: |\n  a\n  {{ model|shout }}": "4:1: the template fails: filter shout is unknown at $.prompt",
    "prompt: |\n  {% for t in tools %}\n  {{ t.id|shout }}\n  {% endfor %}": (
        "4:1: the template fails: filter shout is unknown at $.prompt"
    ),
    "context: |\n  {% if not user %}{{ 1 + '' }}{% endif %}": (
        "3:1: the template fails: tried to use + operator on unsupported types number and string at $.context"
    ),
    "prompt: |\n  {% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}": (
        "3:1: the template fails: it runs too long at $.prompt"
    ),
}


@pytest.mark.parametrize(("text", "said"), ONE_MISTAKE.items(), ids=lambda value: value[:40])
def test_a_mistake_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(BadDocument) as caught:
        parse(HEAD + text + "\n", AgentSpec, "a.yaml").require(check)
    assert [str(problem) for problem in caught.value.problems] == [f"a.yaml:{said}"]


def test_the_model_can_be_locked_though_it_is_no_parameter() -> None:
    assert check(AgentSpec(name="a", locked=("model",))) == []


def test_an_agent_of_nothing_but_a_name_is_fine() -> None:
    assert check(AgentSpec(name="a")) == []
