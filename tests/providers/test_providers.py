"""Which model serves: what is configured, what a name means, what is said of the rest."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentrt.agents import ModelEntry, Retry
from agentrt.kernel import Invalid
from agentrt.messages import says
from agentrt.providers import (
    Chain,
    Choice,
    ModelAsk,
    ModelInfo,
    OfflineRules,
    ProviderEntry,
    Providers,
    entries_from,
    own_wires,
)
from agentrt.providers.offline_rules import OfflineRule
from upstreams.openai_upstream import OpenAIUpstream, refuses

pytestmark = pytest.mark.anyio


def providers(env: dict[str, str] | None = None, **configured: ProviderEntry) -> Providers:
    return Providers(entries_from(env or {}, configured), ollama=("127.0.0.1", 9))


KEY = {"OPENAI_API_KEY": "sk-verysecret"}


def test_the_environment_configures_what_is_well_known(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    env = {
        "OPENAI_API_KEY_FILE": str(tmp_path / "key"),
        "OPENAI_BASE_URL": "http://x/v1/",
        "OLLAMA_HOST": "http://o",
        "GOOGLE_API_KEY": "g",
    }
    entries = entries_from(env, {})
    assert sorted(name for name, entry in entries.items() if entry.configured) == ["gemini", "offline", "ollama", "openai"]
    assert (entries["openai"].api_key, entries["openai"].url) == ("from-a-file", "http://x/v1")
    assert entries_from(KEY, {})["openai"].url == "https://api.openai.com/v1"


def test_settings_come_before_the_environment_and_leave_the_rest_to_it() -> None:
    entries = entries_from(KEY, {"openai": ProviderEntry(max_connections=7)})
    assert (entries["openai"].api_key, entries["openai"].max_connections) == ("sk-verysecret", 7)
    assert entries["openai"].claims("gpt-4o")
    assert entries_from(KEY, {"openai": ProviderEntry(api_key="other")})["openai"].api_key == "other"


def test_an_entry_under_a_well_known_name_speaks_its_own_wire_unless_it_names_another() -> None:
    given = own_wires({"anthropic": {"base_url": "http://x"}, "openai": {"wire": "openai_responses"}, "local": {"api_key": "k"}})
    read = msgspec.convert(given, dict[str, ProviderEntry])
    assert {name: entry.wire for name, entry in read.items()} == {
        "anthropic": "anthropic",
        "openai": "openai_responses",
        "local": "openai",
    }


def test_a_key_of_the_environment_is_not_sent_to_another_address() -> None:
    assert entries_from(KEY, {"openai": ProviderEntry(base_url="http://elsewhere/v1")})["openai"].api_key is None


async def test_with_no_key_the_offline_model_serves_and_says_why() -> None:
    async with providers() as ours:
        choice = ours.choose(["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "opnai/gpt-4o"])
        assert choice.name == "offline/offline"
        assert choice.skipped == (
            "openai/gpt-4o: openai is not configured: set OPENAI_API_KEY or OPENAI_BASE_URL",
            "anthropic/claude-sonnet-4-5: anthropic is not configured: set ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL",
            "opnai/gpt-4o: opnai is not a known provider; did you mean openai?",
        )
        assert ours.choose(["offline/offline"]) == Choice("offline", "offline")


async def test_the_first_that_is_configured_serves() -> None:
    chain = ["anthropic/claude-sonnet-4-5", "openai/gpt-4o", "offline/offline"]
    async with providers(KEY | {"ANTHROPIC_API_KEY": "k"}) as ours:
        assert ours.choose(chain) == Choice("anthropic", "claude-sonnet-4-5")
    async with providers(KEY) as ours:
        assert ours.choose(chain) == Choice(
            "openai",
            "gpt-4o",
            ("anthropic/claude-sonnet-4-5: anthropic is not configured: set ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL",),
        )
        assert ours.choose(["offline/offline", "openai/gpt-4o"]).name == "offline/offline", "a profile may name it"
        assert ours.choose(["gpt-4o"]).name == "openai/gpt-4o"


async def test_names_that_callers_use() -> None:
    async with providers(KEY, work=ProviderEntry(base_url="http://127.0.0.1:9/v1", models=("llama-*",))) as ours:
        assert ours.resolve("gpt-4") == Choice("openai", "gpt-4")
        assert ours.resolve("o3-mini") == Choice("openai", "o3-mini")
        assert ours.resolve("openai/whatever") == Choice("openai", "whatever")
        assert ours.resolve("llama-3") == Choice("work", "llama-3")
        assert ours.resolve("work/org/model") == Choice("work", "org/model")
        assert ours.resolve("offline/offline") == Choice("offline", "offline")
        for unknown in ("nonsense", "nobody/gpt-4", "offline/nonsense", "", "/", "openai/"):
            assert ours.resolve(unknown) is None, unknown


@pytest.mark.parametrize(
    ("name", "missing"),
    [("gpt-4", "OPENAI_API_KEY"), ("openai/gpt-4", "OPENAI_API_KEY"), ("claude-opus-4-5", "ANTHROPIC_API_KEY")],
)
async def test_a_model_of_a_provider_without_key_names_what_is_missing(name: str, missing: str) -> None:
    async with providers() as ours:
        with pytest.raises(Invalid, match=missing) as caught:
            ours.resolve(name)
        assert (caught.value.code, caught.value.param) == ("provider_not_configured", "model")
        with pytest.raises(Invalid, match="OPENAI_API_KEY"):
            ours.client("openai", Retry())


async def test_models_of_an_own_address_are_listed_behind_the_start(upstream: OpenAIUpstream) -> None:
    async with providers({"OPENAI_BASE_URL": upstream.base_url}) as ours:
        await ours.listed(30)
        assert ModelInfo("local-model", "openai") in ours.models()
        assert ours.resolve("local-model") == Choice("openai", "local-model")
        assert ours.health().detail["openai"] == {"configured": True, "models": 2}


async def test_an_address_that_lists_nothing_is_said_and_still_serves(upstream: OpenAIUpstream) -> None:
    upstream.answer = lambda request: refuses(401, "bad key sk-verysecret")
    async with providers(KEY | {"OPENAI_BASE_URL": upstream.base_url}) as ours:
        await ours.listed(30)
        health = ours.health()
        assert health.status == "degraded"
        assert "refused the API key" in health.detail["openai"]["reason"]
        assert "verysecret" not in str(health)
        assert ours.choose(["openai/gpt-4o"]).name == "openai/gpt-4o"


async def test_health_says_of_every_provider_whether_it_can_be_asked() -> None:
    async with providers(KEY) as ours:
        health = ours.health()
        assert health.status == "ok"
        assert health.detail["openai"] == {"configured": True}
        assert health.detail["offline"] == {"configured": True}
        assert health.detail["anthropic"] == {
            "configured": False,
            "reason": "anthropic is not configured: set ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL",
        }
        assert "verysecret" not in str(health)


async def test_an_ollama_at_its_default_port_is_found() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server, Providers(entries_from({}, {}), ollama=server.sockets[0].getsockname()) as ours:
        assert ours.choose(["ollama/llama3"]) == Choice("ollama", "llama3")


async def text(ours: Providers, said: str) -> str:
    ask = ModelAsk(model="offline", messages=(says("user", said),))
    last: Any = [chunk async for chunks in ours.client("offline", Retry()).stream(ask) for chunk in chunks][-1]
    return last.message.text


async def test_the_offline_model_knows_why_it_serves() -> None:
    async with providers() as nothing, providers(KEY) as one:
        assert "No model provider is configured: set OPENAI_API_KEY, ANTHROPIC_API_KEY" in await text(nothing, "hello")
        assert "although a provider is configured (openai)" in await text(one, "hello")


async def test_rules_are_exchanged_while_it_runs() -> None:
    async with providers() as ours:
        ours.set_rules(
            [OfflineRules(rules=(OfflineRule(match="hello", reply="Moin."), OfflineRule(model="parrot", reply="{text}")))]
        )
        assert await text(ours, "hello") == "Moin."
        assert ModelInfo("parrot", "offline") in ours.models()
        assert ours.resolve("offline/parrot") == Choice("offline", "parrot")
        ours.set_rules([])
        assert await text(ours, "hello") != "Moin."
        assert ours.resolve("offline/parrot") is None


async def test_a_size_that_is_learned_later_counts_from_then_on(openai_upstream: Any) -> None:
    upstream: OpenAIUpstream = openai_upstream()
    names = ("gpt-4", "gpt-4-0613", "gpt-4o")  # the public list knows that the first two read 8192 tokens
    chain = Chain(entries=tuple(ModelEntry(model=f"openai/{name}") for name in names), retry=Retry(attempts=1))
    ask = ModelAsk(model="", messages=(says("user", "Hi"),), parameters={"stop": ["."]})
    async with providers({"OPENAI_BASE_URL": upstream.base_url}) as given:
        for _ in range(2):
            upstream.reset()
            upstream.script(refuses(400, "too long", "context_length_exceeded"))
            async for _chunks in given.follow(chain).stream(ask):
                pass
            await given.facts.prices.listed()
        assert [chat.body["model"] for chat in upstream.chats] == ["gpt-4", "gpt-4o"]
