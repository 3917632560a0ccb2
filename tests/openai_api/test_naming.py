import msgspec
import pytest

from agentrt.agents import AgentSpec
from agentrt.kernel import Invalid, NotFound
from agentrt.openai_api.naming import Names, Target

DEFAULT = AgentSpec(name="default", aliases=("assistant",))
CODER = AgentSpec(name="coder")
MODELS = {"gpt-4", "openai/gpt-4", "ollama/llama3:8b", "local/meta/llama-3", "claude-sonnet-4-5"}


class Version(msgspec.Struct, frozen=True):
    spec: AgentSpec


def names(*specs, bare="agent", default="default"):
    agents = {spec.name: Version(spec) for spec in (specs or (DEFAULT, CODER))}
    return Names(lambda: agents, MODELS.__contains__, lambda: MODELS, default_agent=default, bare_models=bare)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("default", Target(DEFAULT)),
        ("assistant", Target(DEFAULT)),
        ("agent", Target(DEFAULT)),
        ("coder", Target(CODER)),
        ("coder:gpt-4", Target(CODER, "gpt-4")),
        ("agent:ollama/llama3:8b", Target(DEFAULT, "ollama/llama3:8b")),
        ("gpt-4", Target(DEFAULT, "gpt-4")),
        ("openai/gpt-4", Target(None, "openai/gpt-4")),
        ("ollama/llama3:8b", Target(None, "ollama/llama3:8b")),
        ("local/meta/llama-3", Target(None, "local/meta/llama-3")),
    ],
)
def test_every_kind_of_name_finds_its_target(name, target):
    assert names().find(name) == target


@pytest.mark.parametrize(
    "name", ["nobody", "coder:nothing", "nobody:gpt-4", "openai/nothing", ":", "coder:", "", "x" * 5000, "/"]
)
def test_anything_else_is_not_found(name):
    with pytest.raises(NotFound) as caught:
        names().find(name)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert len(caught.value.message) < 500


def test_a_near_miss_is_suggested():
    with pytest.raises(NotFound, match="Did you mean 'coder'"):
        names().find("codr")
    with pytest.raises(NotFound, match="Did you mean 'gpt-4'"):
        names().find("gpt4")
    only_in_full = Names(lambda: {}, lambda name: name == "offline/offline", lambda: ["offline", "offline/offline"])
    for mistyped in ("offline", "offline/", "offlin/offline"):
        with pytest.raises(NotFound, match="Did you mean 'offline/offline'"):
            only_in_full.find(mistyped)
    with pytest.raises(NotFound, match="GET /v1/models lists"):
        only_in_full.find("offlin")
    for mistyped in ("openai/gpt4", "gpt-4"):
        with pytest.raises(NotFound, match="Did you mean 'openai/gpt-4'"):
            names(bare="refuse").find(mistyped)
    several = ["offline", "offline/load", "offline/offline"]
    with pytest.raises(NotFound, match="Did you mean 'offline/offline'"):
        Names(lambda: {}, lambda name: name in several[1:], lambda: several).find("offline")
    with pytest.raises(NotFound, match="GET /v1/models lists"):
        names(bare="refuse").find("gpt4")


def test_bare_models_can_be_passed_through_or_refused():
    assert names(bare="passthrough").find("gpt-4") == Target(None, "gpt-4")
    with pytest.raises(NotFound):
        names(bare="refuse").find("gpt-4")
    assert names(bare="refuse").find("openai/gpt-4") == Target(None, "openai/gpt-4")


def test_the_default_agent_is_the_one_that_the_settings_name():
    assert names(default="coder").find("agent") == Target(CODER)
    shipped = AgentSpec(name="default", aliases=("agent",))
    assert names(shipped, CODER).find("agent") == Target(shipped)
    assert names(shipped, CODER, default="coder").find("agent") == Target(CODER)
    with pytest.raises(NotFound):
        names(CODER).find("gpt-4")


def test_a_name_beats_an_alias_and_an_agent_beats_a_model():
    shadow = AgentSpec(name="other", aliases=("coder", "gpt-4"))
    assert names(DEFAULT, CODER, shadow).find("coder") == Target(CODER)
    assert names(DEFAULT, CODER, shadow).find("gpt-4") == Target(shadow)


def test_an_agent_that_is_called_agent_keeps_its_name():
    own = AgentSpec(name="agent")
    assert names(DEFAULT, own).find("agent") == Target(own)


def test_an_agent_that_locks_its_model_keeps_it_and_says_so():
    locked = AgentSpec(name="default", locked=("model",))
    assert names(locked).find("gpt-4") == Target(locked, None, ("model",))
    assert names(locked).find("default:gpt-4") == Target(locked, None, ("model",))


def test_a_model_whose_provider_is_not_configured_says_what_is_missing():
    def known(name):
        raise Invalid(f"{name}: openai is not configured", code="provider_not_configured", param="model")

    agents = {"default": Version(DEFAULT), "fixed": Version(AgentSpec(name="fixed", locked=("model",)))}
    looked = Names(lambda: agents, known, lambda: ())
    with pytest.raises(Invalid):
        looked.find("gpt-4")
    assert looked.find("fixed:gpt-4").ignored == ("model",)


def test_a_reload_is_seen():
    current = {"default": Version(DEFAULT)}
    boxed = [current]
    looked = Names(lambda: boxed[0], MODELS.__contains__, lambda: MODELS)
    with pytest.raises(NotFound):
        looked.find("coder")
    boxed[0] = {**current, "coder": Version(CODER)}
    assert looked.find("coder") == Target(CODER)
