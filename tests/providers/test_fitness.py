"""What a model is known not to take keeps it out of a request; what nobody knows is tried."""

from typing import Any, get_args

import pytest

from agentrt.kernel import Invalid
from agentrt.messages import File, Image, Message, Text, ToolCall, ToolResult, says
from agentrt.providers import Abilities, ModelAsk, ProviderEntry, Providers, Request
from agentrt.providers.abilities import known_abilities
from agentrt.providers.fitness import misfits, readable
from agentrt.providers.fitted import wants_bytes
from agentrt.providers.sdk_options import BedrockSdk
from agentrt.providers.wires import Wire
from agentrt.tools import ToolDef

pytestmark = pytest.mark.anyio

PIXEL = Image(url="data:image/png;base64,AA==")
SOUND = File(file="file_1", media_type="audio/wav")
PDF = File(data="data:application/pdf;base64,AA==")
ZIP = File(file="file_1", media_type="application/zip")
NOTES = File(file="file_1", media_type="text/plain")
ECHO = ToolDef(id="echo", description="", schema={"type": "object"}, effect="read")
BLIND = Abilities(vision=False)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def told(*parts: Any, wire: Wire = "openai", model: str = "m", known: Abilities | None = None, **ask: Any) -> list[str]:
    asked = ModelAsk(model=model, messages=(Message("user", (Text("?"), *parts)),), **ask)
    known = known_abilities(wire, model) if known is None else known
    return [f"{found.what} {found.message}.{found.part}{found.param}" for found in misfits(asked, wire, known)]


@pytest.mark.parametrize(
    ("wire", "model", "part", "what"),
    [
        ("openai", "gpt-3.5-turbo", PIXEL, ["images 0.1"]),
        ("openai", "gpt-5.5", PIXEL, []),
        ("openai", "never-heard-of", PIXEL, []),
        ("openai", "never-heard-of", ZIP, []),
        ("openai", "gpt-4o", SOUND, ["sound 0.1"]),
        ("openai", "gpt-6.1-sol", SOUND, ["sound 0.1"]),
        ("anthropic", "claude-sonnet-5-5", PDF, []),
        ("anthropic", "claude-sonnet-5-5", NOTES, []),
        ("anthropic", "claude-sonnet-5-5", SOUND, ["sound 0.1"]),
        ("anthropic", "claude-sonnet-5-5", ZIP, ["files of the type application/zip 0.1"]),
        ("gemini", "gemini-3-flash", SOUND, []),
        ("ollama", "qwen3", PIXEL, []),
        ("ollama", "qwen3", PDF, ["PDF files 0.1"]),
        ("offline", "offline", PIXEL, []),
    ],
)
def test_parts_that_a_model_is_known_not_to_take(wire: Wire, model: str, part: Any, what: list[str]) -> None:
    assert told(part, wire=wire, model=model) == what


@pytest.mark.parametrize(
    ("wire", "model", "choice", "what"),
    [
        ("ollama", "qwen3", "required", ["tool_choice other than 'auto' and 'none' -1.-1tool_choice"]),
        ("ollama", "qwen3", {"type": "function", "function": {"name": "echo"}}, ["tool_choice"]),
        ("ollama", "qwen3", "none", []),
        ("ollama", "qwen3", {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}, []),
        ("openai", "gpt-5.5", "required", []),
        ("anthropic", "claude-opus-5-5", "required", ["tool_choice"]),
        ("anthropic", "claude-sonnet-4-5", "required", []),
    ],
)
def test_who_can_be_made_to_call_a_tool(wire: Wire, model: str, choice: Any, what: list[str]) -> None:
    found = told(wire=wire, model=model, tools=(ECHO,), parameters={"tool_choice": choice})
    assert len(found) == len(what) and all(words in said for words, said in zip(what, found, strict=True))


def test_tools_for_a_model_that_calls_none() -> None:
    assert told(wire="openai", model="o1-mini", tools=(ECHO,)) == ["tools -1.-1tools"]
    assert told(wire="openai", model="o1-mini") == []


def test_what_a_tool_returned_becomes_a_note_for_a_model_that_cannot_see_it() -> None:
    messages = (
        Message("assistant", (ToolCall("c", "echo"),)),
        Message("tool", (ToolResult("c", (Text("here"), PIXEL)),)),
    )
    assert readable(messages, "openai", Abilities()) == messages
    shown = readable(messages, "openai", BLIND)[1].parts[0]
    assert isinstance(shown, ToolResult) and shown.text == "here\n[an image, which this model cannot be shown]"


CHAIN = ("blind/a", "seeing/b")
ENTRIES = {"blind": ProviderEntry(base_url="http://127.0.0.1:9/v1"), "seeing": ProviderEntry(base_url="http://127.0.0.1:9/v1")}
SEEN = (says("user", "hi"), Message("user", (Text("What is this?"), PIXEL)))


def providers(**abilities: Abilities) -> Providers:
    known = {f"{name}/*": value for name, value in abilities.items()}
    return Providers(ENTRIES, ollama=("127.0.0.1", 9), abilities=known)


async def test_a_chain_passes_over_models_that_cannot_take_the_request() -> None:
    ours = providers(blind=BLIND)
    assert ours.choose(CHAIN, Request(ask=ModelAsk(model="", messages=SEEN[:1]))).name == "blind/a"
    chosen = ours.choose(CHAIN, Request(ask=ModelAsk(model="", messages=SEEN)))
    assert (chosen.name, chosen.skipped) == ("seeing/b", ("blind/a: it takes no images",))


async def test_where_none_takes_it_the_part_is_named_as_the_caller_sent_it() -> None:
    ours = providers(blind=BLIND, seeing=BLIND)
    request = Request(ask=ModelAsk(model="", messages=SEEN), since=1, sent=4)
    with pytest.raises(Invalid) as refusal:
        ours.choose(CHAIN, request)
    assert (refusal.value.param, refusal.value.code) == ("messages[4].content[1]", "unsupported_content")
    assert "blind/a takes no images" in refusal.value.message
    with pytest.raises(Invalid) as earlier:
        ours.choose(CHAIN, Request(ask=ModelAsk(model="", messages=SEEN), since=2, sent=0))
    assert earlier.value.param == "messages"


async def test_what_tools_returned_keeps_nobody_out_but_asks_the_seeing_first() -> None:
    result = Message("tool", (ToolResult("c", (PIXEL,)),))
    request = Request(ask=ModelAsk(model="", messages=(result,)), since=1)
    assert providers(blind=BLIND).choose(CHAIN, request).name == "seeing/b"
    assert providers(blind=BLIND, seeing=BLIND).choose(CHAIN, request).name == "blind/a"


def test_the_responses_api_has_no_place_for_stop_texts() -> None:
    def asked(wire: Wire) -> list[str]:
        return told(wire=wire, model="gpt-5.5", parameters={"stop": "END"})

    assert [len(asked("openai_responses")), len(asked("openai"))] == [1, 0]
    assert asked("openai_responses")[0].endswith("stop")


def test_whose_images_are_fetched_here() -> None:
    assert [wire for wire in get_args(Wire) if wants_bytes(ProviderEntry(wire=wire))] == ["gemini", "ollama"]
    assert wants_bytes(ProviderEntry(wire="anthropic", client="sdk", sdk=BedrockSdk()))
    assert wants_bytes(ProviderEntry(wire="openai", image_urls=False))
    for inside in ("http://127.0.0.1:8000/v1", "http://10.0.0.3/v1", "http://vllm:8000/v1", "http://gpu.internal/v1"):
        assert wants_bytes(ProviderEntry(base_url=inside)), "it could be made to reach inside"
        assert not wants_bytes(ProviderEntry(base_url=inside, image_urls=True))
    assert not wants_bytes(ProviderEntry(base_url="https://openrouter.ai/api/v1"))
    assert not wants_bytes(ProviderEntry(wire="gemini", image_urls=True))
