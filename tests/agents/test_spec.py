import msgspec

from agentrt.agents import AgentSpec, Parameters, Retry, ToolRule


def test_the_first_rule_that_matches_a_tool_governs_it() -> None:
    spec = AgentSpec(name="a", tools=("clock", ToolRule(match="echo__s*", effect="read", timeout=5), "echo__*"))
    assert spec.rule_for("echo__slow") == ToolRule(match="echo__s*", effect="read", timeout=5, retry=Retry(attempts=3))
    assert spec.rule_for("echo__add") == ToolRule(match="echo__*", retry=Retry(attempts=3))
    assert spec.rule_for("clock__x") is None
    assert AgentSpec(name="a").rule_for("clock") is None


def test_a_rule_without_retry_has_the_agents() -> None:
    spec = AgentSpec(name="a", retry=Retry(attempts=7), tools=(ToolRule(match="x", retry=Retry()), "*"))
    assert [rule.retry for id_ in ("x", "y") if (rule := spec.rule_for(id_))] == [Retry(), Retry(attempts=7)]


def test_the_old_name_of_execute_bash_still_allows_it() -> None:
    rule = AgentSpec(name="a", tools=("bash_execute",)).rule_for("execute_bash")
    assert rule is not None


def test_globs_mean_the_whole_id_and_its_case() -> None:
    spec = AgentSpec(name="a", tools=("echo", "get_[ab]?"))
    assert [id_ for id_ in ("echo", "echo2", "Echo", "get_a1", "get_c1") if spec.rule_for(id_)] == ["echo", "get_a1"]


def test_a_chain_is_a_tuple_however_it_was_written() -> None:
    assert AgentSpec(name="a", model="x/y").chain == ("x/y",)
    assert AgentSpec(name="a", model=("x/y", "z/w")).chain == ("x/y", "z/w")


def test_parameters_that_were_given_go_by_their_own_names() -> None:
    assert Parameters(temperature=0, stop=("x",), parallel_tool_calls=False).given == {
        "temperature": 0,
        "stop": ("x",),
        "parallel_tool_calls": False,
    }


def test_an_agent_is_stored_with_every_value_written_out() -> None:
    spec = AgentSpec(name="a", tools=("x", ToolRule(match="y")))
    stored = msgspec.json.encode(spec)
    assert set(msgspec.json.decode(stored)) == {field.encode_name for field in msgspec.structs.fields(AgentSpec)}
    assert msgspec.json.decode(stored, type=AgentSpec) == spec
