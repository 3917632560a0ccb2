import pytest

from agentrt.agents import (
    RUN_VARIABLES,
    STATIC_VARIABLES,
    AgentSpec,
    RunVars,
    StaticVars,
    ToolLine,
    check,
    render_context,
    render_prompt,
)
from agentrt.kernel import Invalid

NEW_YEAR = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z, a Thursday


def agent(prompt: str = "", context: str = "") -> AgentSpec:
    spec = AgentSpec(name="ada", description="Counts.", prompt=prompt, context=context, metadata={"team": "maths"})
    assert check(spec) == []
    return spec


def test_the_prompt_knows_the_agent_the_model_and_its_tools() -> None:
    spec = agent("{{ agent.name }} of {{ agent.metadata.team }}: {{ agent.description }} ({{ model }})\n"
                 "{% for tool in tools %}\n- {{ tool.id }}: {{ tool.description }}\n{% endfor %}\nGo.\n")  # fmt: skip
    known = StaticVars(model="openai/gpt-5.5", tools=(ToolLine("clock", "The time."), ToolLine("echo__add", "Adds.")))
    assert render_prompt(spec, known) == "ada of maths: Counts. (openai/gpt-5.5)\n- clock: The time.\n- echo__add: Adds.\nGo."


def test_the_context_also_knows_the_run() -> None:
    spec = agent(context="{{ user }}|{{ session_id }}|{{ run_id }}|{{ now }}|{{ today }}|{{ weekday }}|{{ metadata.plan }}")
    known = RunVars(run_id="run_1", now_us=NEW_YEAR, user="eve", session_id="sess_1", metadata={"plan": "pro"})
    assert render_context(spec, known) == "eve|sess_1|run_1|2026-01-01T00:00:00.000000Z|2026-01-01|Thursday|pro"


def test_what_is_not_known_prints_as_nothing() -> None:
    spec = agent(context="[{{ user }}{{ session_id }}{{ metadata.plan }}{{ metadata.a.b.c }}{{ model }}{{ tools|length }}]")
    assert render_context(spec, RunVars(run_id="run_1", now_us=0)) == "[0]"


def test_every_documented_variable_can_be_used() -> None:
    static = " ".join(f"{{{{ {name} }}}}" for name in STATIC_VARIABLES)
    per_run = " ".join(f"{{{{ {name} }}}}" for name in RUN_VARIABLES)
    spec = agent(static, static + per_run)
    assert render_prompt(spec, StaticVars())
    assert render_context(spec, RunVars(run_id="run_1", now_us=0))


def test_text_without_tags_is_taken_as_it_is() -> None:
    spec = agent('Braces { } and <b>"quotes"</b> & all.\n')
    assert render_prompt(spec, StaticVars()) == 'Braces { } and <b>"quotes"</b> & all.'


def test_values_are_not_escaped_and_not_read_as_templates() -> None:
    spec = agent(context="{{ user }}")
    assert render_context(spec, RunVars(run_id="r", now_us=0, user="<b>{{ run_id }}")) == "<b>{{ run_id }}"


def test_a_template_that_fails_on_what_a_caller_sent_is_the_callers_mistake() -> None:
    spec = agent(context="{{ metadata.count|int + 1 }}")
    with pytest.raises(Invalid) as caught:
        render_context(spec, RunVars(run_id="r", now_us=0, metadata={"count": "many"}))
    assert caught.value.code == "template_failed"
    assert caught.value.message.startswith("the context of agent 'ada' cannot be rendered: line 1: ")


def test_a_template_cannot_run_for_ever() -> None:
    spec = agent(context="{% for a in range(metadata.n|default(1)|int) %}{% for b in range(1000) %}.{% endfor %}{% endfor %}")
    with pytest.raises(Invalid, match="it runs too long"):
        render_context(spec, RunVars(run_id="r", now_us=0, metadata={"n": 10_000}))
