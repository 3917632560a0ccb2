"""In which order the models of a chain are asked: pure, so as tables."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from agentrt.agents import ModelEntry
from agentrt.kernel import Invalid
from agentrt.messages import File, Image, Message, Text, ToolResult, says
from agentrt.providers import Choice, ModelAsk, ProviderEntry, Providers, Request
from agentrt.providers.capacity import context_of, takes_prefix
from agentrt.providers.choice import Directory
from agentrt.providers.routing import find_route

KEYS = {"a": ProviderEntry(api_key="k"), "b": ProviderEntry(api_key="k"), "c": ProviderEntry(api_key="k")}
OFFLINE = {"offline": ProviderEntry(wire="offline")}
KNOWN: Mapping[str, ProviderEntry] = {**KEYS, **OFFLINE, "bare": ProviderEntry()}


def entry(model: str, **said: Any) -> ModelEntry:
    return ModelEntry(model=model, **said)


def order(*entries: ModelEntry, key: str = "run_1", true: tuple[str, ...] = (), known: Any = KNOWN) -> list[str]:
    found = find_route(entries, key, lambda condition: condition in true, Directory(known, {}))
    return [leg.choice.name for leg in found.legs]


@pytest.mark.parametrize(
    ("entries", "true", "expected"),
    [
        ([entry("a/1"), entry("b/2"), entry("c/3")], (), ["a/1", "b/2", "c/3"]),
        ([entry("a/1", when="big"), entry("b/2")], (), ["b/2"]),
        ([entry("a/1", when="big"), entry("b/2")], ("big",), ["a/1", "b/2"]),
        ([entry("a/1", when="big"), entry("b/2", when="seen")], (), []),
        ([entry("bare/1"), entry("b/2"), entry("nobody/3")], (), ["b/2"]),
        ([entry("bare/1"), entry("nobody/3")], (), ["offline/offline"]),
        ([entry("a/1"), entry("offline/offline")], (), ["a/1", "offline/offline"]),
        ([entry("a/1", when="big"), entry("offline/offline", when="big")], (), []),
    ],
)
def test_the_chain_is_asked_in_order_without_what_does_not_apply(
    entries: list[ModelEntry], true: tuple[str, ...], expected: list[str]
) -> None:
    assert order(*entries, true=true) == expected


def test_what_is_passed_over_before_the_first_is_said() -> None:
    entries = [entry("bare/1"), entry("a/1", when="big"), entry("b/2"), entry("nobody/3")]
    found = find_route(entries, "", lambda _: False, Directory(KNOWN, {}))
    assert found.skipped == (
        "bare/1: bare is not configured: it has neither base_url nor api_key",
        "a/1: its condition does not hold: big",
    )


def test_neighbours_with_a_weight_share_the_runs_by_it_and_each_run_keeps_its_draw() -> None:
    entries = [entry("a/1", weight=3), entry("b/2", weight=1), entry("c/3")]
    routes = [order(*entries, key=f"run_{n}") for n in range(2000)]
    assert routes == [order(*entries, key=f"run_{n}") for n in range(2000)]
    drawn = Counter(tuple(route) for route in routes)
    assert set(drawn) == {("a/1", "b/2", "c/3"), ("b/2", "a/1", "c/3")}
    assert 1400 < drawn["a/1", "b/2", "c/3"] < 1600


def test_groups_do_not_merge_where_what_parts_them_is_passed_over() -> None:
    entries = [entry("a/1", weight=1), entry("nobody/2"), entry("b/2", weight=100)]
    assert {tuple(order(*entries, key=f"run_{n}")) for n in range(50)} == {("a/1", "b/2")}


def test_a_request_is_described_by_all_that_is_asked() -> None:
    picture = Image(url="data:image/png;base64,AA==")
    asks = {
        "text": (says("user", "x" * 4000),),
        "image": (Message("user", (Text("look"), picture)),),
        "shown by a tool": (Message("tool", (ToolResult("c", (picture,)),)),),
        "a file": (Message("user", (File(data="data:application/pdf;base64,AA==", media_type="application/pdf"),)),),
    }
    facts = {name: Request(ask=ModelAsk(model="", messages=messages, user="ada")).facts() for name, messages in asks.items()}
    assert {name: told["vision"] for name, told in facts.items()} == {
        "text": False,
        "image": True,
        "shown by a tool": True,
        "a file": False,
    }
    assert facts["text"]["tokens"] == 1000
    assert {told["user"] for told in facts.values()} == {"ada"}


def test_who_is_first_follows_the_request() -> None:
    ours = Providers(KNOWN)
    chain = [entry("a/large", when="tokens > 500"), entry("b/gold", when="metadata.tier == 'gold'"), entry("c/plain")]
    long = ModelAsk(model="", messages=(says("user", "x" * 4000),))
    assert ours.choose(chain, Request(ask=long)).name == "a/large"
    assert ours.choose(chain, Request(metadata={"tier": "gold"})).name == "b/gold"
    assert ours.choose(chain, Request()).name == "c/plain", "what has no answer counts as false"
    assert ours.choose(chain).name == "c/plain"


def test_a_chain_that_takes_no_such_request_is_an_error_and_not_the_offline_model() -> None:
    ours = Providers(KNOWN)
    chain = [entry("a/large", when="tokens > 500"), entry("bare/1")]
    with pytest.raises(Invalid, match="its condition does not hold: tokens > 500") as caught:
        ours.choose(chain, Request())
    assert caught.value.code == "no_model_for_request"
    assert ours.choose(chain) == Choice("a", "large"), "lists show what could answer"


def test_what_is_known_of_models() -> None:
    plain, ollama = ProviderEntry(), ProviderEntry(wire="ollama", num_ctx=8192)
    sizes = [context_of(plain, name) for name in ("gpt-4o-mini", "gpt-5", "gpt-5-mini", "openai/gpt-4.1", "claude-sonnet-4-5")]
    assert sizes == [128_000, 400_000, 400_000, 1_047_576, 200_000]
    assert (context_of(plain, "mystery"), context_of(plain, "gpt-5.5"), context_of(ollama, "qwen3")) == (None, None, 8192)
    assert context_of(ProviderEntry(contexts={"gpt-*": 7}), "gpt-4o") == 7
    claude = ProviderEntry(wire="anthropic")
    assert (takes_prefix(claude, "claude-sonnet-4-5"), takes_prefix(claude, "claude-sonnet-5-5")) == (True, False)
    assert (takes_prefix(plain, "gpt-4o"), takes_prefix(ollama, "qwen3")) == (False, True)
    assert takes_prefix(ProviderEntry(prefix=True), "vicuna")
