"""Anthropic by its own API behind the chat surface, with the agent that every new user has."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from upstreams.anthropic_upstream import AnthropicUpstream, calls, joined, refuses, says, streams, text

SUM = ("calculator", {"expression": "2+2"})


@pytest.fixture
def upstream(start_upstream: Any) -> AnthropicUpstream:
    return start_upstream(AnthropicUpstream)


@pytest.fixture
def connect(serve: Any, upstream: AnthropicUpstream) -> Any:
    """A server with nothing but Anthropic's key, and the official client of it."""

    @contextmanager
    def start() -> Iterator[openai.OpenAI]:
        env = {"ANTHROPIC_API_KEY": "sk-ant-journeys", "ANTHROPIC_BASE_URL": upstream.base_url}
        with serve(**env) as server, openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
            yield client

    return start


def streamed(
    client: openai.OpenAI, model: str = "default", said: str = "What is 2+2?", **more: Any
) -> tuple[str, list[str], Any]:
    """Text, reasons to end, and usage of a streamed chat."""
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": said}], stream=True, stream_options={"include_usage": True}, **more
    )
    answer, reasons, usage = "", [], None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            answer += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
    return answer, reasons, usage


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unmarked(each) for name, each in value.items() if name != "cache_control"}
    return [unmarked(each) for each in value] if isinstance(value, list) else value


def test_the_default_agent_calls_a_tool_and_its_thinking_goes_back_signed(connect: Any, upstream: AnthropicUpstream) -> None:
    upstream.script(calls(SUM), says("It is 4. 🌍"))
    with connect() as client:
        answer, reasons, usage = streamed(client)
    assert (answer, reasons) == ("It is 4. 🌍", ["stop"])
    assert (usage.prompt_tokens, usage.completion_tokens) == (36, 14)
    assert usage.prompt_tokens_details.cached_tokens == 6
    first, second = (chat.body for chat in upstream.chats)
    assert first["model"] == "claude-sonnet-5-5"
    assert "calculator" in [tool["name"] for tool in first["tools"]]
    assert unmarked(second["messages"][:1]) == unmarked(first["messages"])
    assert (second["system"], second["tools"]) == (first["system"], first["tools"])
    assert second["messages"][1]["content"] == joined(calls(SUM))["content"]
    assert second["messages"][2]["content"][0]["tool_use_id"] == "toolu_upstream1"
    assert "cache_control" in second["messages"][2]["content"][-1]


def test_a_session_sends_the_same_beginning_even_after_a_restart(connect: Any, upstream: AnthropicUpstream) -> None:
    session = {"extra_headers": {"X-Session-Id": "long"}}
    upstream.script(calls(SUM), says("It is 4."), says("Yes."))
    with connect() as client:
        assert streamed(client, **session)[0] == "It is 4."
    with connect() as client:
        assert streamed(client, said="Are you sure?", **session)[0] == "Yes."
    before, after = (unmarked(upstream.chats[place].body) for place in (1, 2))
    assert after["messages"][:3] == before["messages"]
    assert (after["system"], after["tools"]) == (before["system"], before["tools"])
    assert [turn["role"] for turn in after["messages"][3:]] == ["assistant", "user"]


def test_any_claude_can_be_named_and_gets_only_what_it_takes(connect: Any, upstream: AnthropicUpstream) -> None:
    with connect() as client:
        streamed(client, "anthropic/claude-haiku-4-5", temperature=1.4, max_tokens=50, stop="END", seed=7)
        streamed(client, "claude-opus-5-5", temperature=0.3, reasoning_effort="low")
    older, newer = (chat.body for chat in upstream.chats)
    assert (older["temperature"], older["max_tokens"], older["stop_sequences"]) == (1, 50, ["END"])
    assert "temperature" not in newer
    assert newer["output_config"] == {"effort": "low"}


def test_refusals_limits_and_cuts_are_told_apart(connect: Any, upstream: AnthropicUpstream) -> None:
    upstream.script(
        streams(text(0, "I will not."), reason="refusal"),
        streams(text(0, "Too lo"), reason="max_tokens"),
        says("Half an answer", end="cut"),
        refuses(401, "invalid x-api-key", "authentication_error"),
    )
    with connect() as client:
        assert streamed(client)[:2] == ("I will not.", ["content_filter"])
        assert streamed(client)[:2] == ("Too lo", ["length"])
        with pytest.raises(openai.APIError):
            streamed(client)
        with pytest.raises(openai.APIStatusError, match="refused the API key"):
            client.chat.completions.create(model="default", messages=[{"role": "user", "content": "Hi"}])


def test_a_key_that_no_profile_uses_costs_the_start_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, asyncio\n"
        "from agentrt.providers import Providers, entries_from\n"
        "async def main():\n"
        "    async with Providers(entries_from({'ANTHROPIC_API_KEY': 'k'}, {}), ollama=('127.0.0.1', 9)): pass\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name in ('anthropic', 'agentrt.providers.anthropic_client')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
