"""Gemini and Ollama by their own APIs behind the chat surface, with tools that agentrt carries out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from upstreams.gemini_upstream import GeminiUpstream
from upstreams.gemini_upstream import calls as gemini_calls
from upstreams.gemini_upstream import says as gemini_says
from upstreams.ollama_upstream import OllamaUpstream
from upstreams.ollama_upstream import calls as ollama_calls
from upstreams.ollama_upstream import refuses as ollama_refuses
from upstreams.ollama_upstream import says as ollama_says

AGENT = "name: {name}\nmodel: {model}\nprompt: You are brief.\ntools: ['echo__echo']\nretry: {{attempts: 1}}\n"
ECHO = ("echo__echo", {"message": "Grüße 🌍"})


@pytest.fixture
def gemini(start_upstream: Any) -> GeminiUpstream:
    return start_upstream(GeminiUpstream)


@pytest.fixture
def ollama(start_upstream: Any) -> OllamaUpstream:
    return start_upstream(OllamaUpstream)


@pytest.fixture
def client(serve: Any, tmp_path: Path, gemini: GeminiUpstream, ollama: OllamaUpstream) -> Iterator[openai.OpenAI]:
    agents = tmp_path / "agents"
    agents.mkdir()
    for name, model in (("twin", "gemini/gemini-3-flash-preview"), ("llama", "ollama/qwen3:4b")):
        (agents / f"{name}.yaml").write_text(AGENT.format(name=name, model=model))
    env = {
        "GEMINI_BASE_URL": gemini.base_url,
        "GEMINI_API_KEY": "AIza-journeys",
        "OLLAMA_HOST": ollama.base_url,
        "AGENTRT_CONFIG": str(agents),
    }
    with serve(**env) as server, openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
        server.wait_connected()
        yield client


def streamed(client: openai.OpenAI, model: str, said: str = "Say it", **more: Any) -> tuple[str, list[str], Any]:
    """Text, reasons to end, and usage of a streamed chat."""
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": said}], stream=True, stream_options={"include_usage": True}, **more
    )
    text, reasons, usage = "", [], None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
    return text, reasons, usage


def test_gemini_calls_a_tool_gets_its_signature_back_and_answers(client: openai.OpenAI, gemini: GeminiUpstream) -> None:
    gemini.script(gemini_calls(ECHO), gemini_says("It says: Grüße 🌍"))
    text, reasons, usage = streamed(client, "twin", temperature=0.5)
    assert (text, reasons) == ("It says: Grüße 🌍", ["stop"])
    assert (usage.prompt_tokens, usage.completion_tokens) == (22, 14)
    assert usage.prompt_tokens_details.cached_tokens == 6
    first, second = (chat.body for chat in gemini.chats)
    assert first["generationConfig"] == {"temperature": 0.5}
    assert [tool["name"] for tool in first["tools"][0]["functionDeclarations"]] == ["echo__echo"]
    assert second["contents"][:1] == first["contents"]
    assert second["contents"][1:] == [
        {
            "role": "model",
            "parts": [{"functionCall": {"name": ECHO[0], "args": ECHO[1]}, "thoughtSignature": "c2lnbmVkIGNhbGw="}],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": ECHO[0], "response": {"output": "Grüße 🌍"}}}]},
    ]


def test_ollama_calls_a_tool_and_answers(client: openai.OpenAI, ollama: OllamaUpstream) -> None:
    ollama.script(ollama_calls(ECHO), ollama_says("It says: Grüße 🌍"))
    text, reasons, usage = streamed(client, "llama", seed=7, reasoning_effort="low")
    assert (text, reasons, usage.total_tokens) == ("It says: Grüße 🌍", ["stop"], 36)
    first, second = (chat.body for chat in ollama.chats)
    assert (first["options"], first["think"]) == ({"seed": 7}, True)
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    assert second["messages"][2:] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "I need a tool.",
            "tool_calls": [{"function": {"name": ECHO[0], "arguments": ECHO[1]}}],
        },
        {"role": "tool", "tool_name": ECHO[0], "content": "Grüße 🌍"},
    ]


def test_a_conversation_may_change_its_provider_and_come_back(
    client: openai.OpenAI, gemini: GeminiUpstream, ollama: OllamaUpstream
) -> None:
    gemini.script(gemini_calls(ECHO), gemini_says("One."), gemini_says("Three."))
    ollama.script(ollama_calls(ECHO), ollama_says("Two."))
    session = {"extra_headers": {"X-Session-Id": "changing"}}
    assert streamed(client, "twin", "1", **session)[0] == "One."
    assert streamed(client, "llama", "2", **session)[0] == "Two."
    assert "c2lnbmVk" not in str(ollama.chats[0].body)
    assert "Grüße 🌍" in str(ollama.chats[0].body)
    assert streamed(client, "twin", "3", **session)[0] == "Three."
    turns = gemini.chats[-1].body["contents"]
    assert turns[: len(gemini.chats[1].body["contents"])] == gemini.chats[1].body["contents"]
    shown = httpx2.get(str(client.base_url.join("/sessions/changing/messages"))).json()["data"]
    assert [part["text"] for message in shown for part in message["parts"] if part["type"] == "text"] == [
        "1", "One.", "2", "Two.", "3", "Three.",
    ]  # fmt: skip
    assert not any(part["type"] == "thinking" and not part["text"] for message in shown for part in message["parts"])
    # What Ollama's model called is not signed, and the third generation is told so.
    assert [part["thoughtSignature"] for turn in turns for part in turn["parts"] if "thoughtSignature" in part] == [
        "c2lnbmVkIGNhbGw=",
        "c2lnbmVkIHRleHQ=",
        "skip_thought_signature_validator",
    ]


def test_a_model_that_was_not_pulled_is_said_to_the_caller(client: openai.OpenAI, ollama: OllamaUpstream) -> None:
    ollama.script(ollama_refuses(404, "model 'qwen3:4b' not found"))
    with pytest.raises(openai.APIStatusError, match="ollama pull qwen3:4b"):
        client.chat.completions.create(model="llama", messages=[{"role": "user", "content": "Hi"}])


def test_an_answer_that_was_cut_does_not_end_in_stop(client: openai.OpenAI, gemini: GeminiUpstream) -> None:
    gemini.script(gemini_says("Half an answer", end="cut"))
    with pytest.raises(openai.APIError):
        streamed(client, "twin")


def test_models_are_asked_for_by_provider_and_name(client: openai.OpenAI, gemini: GeminiUpstream) -> None:
    answer = client.chat.completions.create(model="gemini/gemini-2.5-pro", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content == "Hello from upstream."
    assert "/models/gemini-2.5-pro:" in gemini.chats[0].path
