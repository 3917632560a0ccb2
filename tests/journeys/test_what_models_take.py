"""Images, tools and forms of answers, over HTTP: what a model is known not to take, what is fetched, what is asked for again."""

import base64
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from upstreams import anthropic_upstream, gemini_upstream, ollama_upstream, openai_upstream
from upstreams.anthropic_upstream import AnthropicUpstream
from upstreams.gemini_upstream import GeminiUpstream
from upstreams.http_upstream import Reply, Request
from upstreams.ollama_upstream import OllamaUpstream
from upstreams.openai_upstream import OpenAIUpstream

PNG = b"\x89PNG\r\n\x1a\nrest"
DATA = base64.b64encode(PNG).decode()
PICTURES = Path(__file__).parents[1] / "mcp_registry" / "servers" / "older.py"
AGENTS = {
    "gpt": "model: openai/gpt-4o\ntools: ['older__picture']",
    "claude": "model: anthropic/claude-3-7-sonnet\ntools: ['older__picture']",
    "twin": "model: gemini/gemini-2.5-flash\ntools: ['older__picture']",
    "llama": "model: ollama/qwen3:4b\ntools: ['older__picture']",
    "blind": "model: openai/gpt-3.5-turbo",
    "both": "model: [openai/gpt-3.5-turbo, gemini/gemini-2.5-flash]",
    "pair": "model: [openai/gpt-4o, gemini/gemini-2.5-flash]",
    "bare": "model: gemini/gemini-2.5-flash",
    "picky": "model: anthropic/claude-opus-4-7\nunsupported: error",
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


class World:
    """Four providers, each with an agent, and a server in front of them."""

    def __init__(self, start_upstream: Any) -> None:
        self.openai: OpenAIUpstream = start_upstream(OpenAIUpstream)
        self.anthropic: AnthropicUpstream = start_upstream(AnthropicUpstream)
        self.gemini: GeminiUpstream = start_upstream(GeminiUpstream)
        self.ollama: OllamaUpstream = start_upstream(OllamaUpstream)
        self.client: openai.OpenAI
        self.url = ""

    def env(self, home: Path) -> dict[str, str]:
        (home / "agents").mkdir()
        for name, text in AGENTS.items():
            (home / "agents" / f"{name}.yaml").write_text(f"name: {name}\nretry: {{attempts: 1}}\n{text}\n")
        servers = {"mcpServers": {"older": {"command": "${AGENTRT_PYTHON}", "args": [str(PICTURES)]}}}
        (home / "servers.yaml").write_text(json.dumps(servers))
        return {
            "OPENAI_BASE_URL": self.openai.base_url,
            "OPENAI_API_KEY": "sk-journeys",
            "AGENTRT_PROVIDERS__OPENAI__IMAGE_URLS": "true",
            "ANTHROPIC_BASE_URL": self.anthropic.base_url,
            "ANTHROPIC_API_KEY": "sk-ant-journeys",
            "GEMINI_BASE_URL": self.gemini.base_url,
            "GEMINI_API_KEY": "AIza-journeys",
            "OLLAMA_HOST": self.ollama.base_url,
            "AGENTRT_CONFIG": str(home / "agents"),
            "AGENTRT_MCP_CONFIG": str(home / "servers.yaml"),
            "AGENTRT_IMAGES__INNER_HOSTS": "127.0.0.0/8",
        }

    def ask(self, model: str, content: Any, **more: Any) -> Any:
        messages: Any = content if isinstance(content, list) else [{"role": "user", "content": content}]
        return self.client.chat.completions.create(model=model, messages=messages, **more)

    def streamed(self, model: str, content: str, **more: Any) -> tuple[str, list[str]]:
        text, reasons = "", []
        for chunk in self.ask(model, content, stream=True, **more):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasons += [choice.finish_reason] if choice.finish_reason else []
        return text, reasons

    def run(self) -> dict[str, Any]:
        """The newest run, with its steps."""
        newest = httpx2.get(f"{self.url}/runs").json()["data"][0]
        return newest | {"steps": httpx2.get(f"{self.url}/runs/{newest['id']}/steps").json()["data"]}


@pytest.fixture
def world(serve: Any, start_upstream: Any, tmp_path: Path) -> Iterator[World]:
    made = World(start_upstream)
    with serve(**made.env(tmp_path)) as server, openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
        made.client, made.url = client, server.url
        yield made


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def refusal(world: World, *args: Any, **more: Any) -> Any:
    with pytest.raises(openai.BadRequestError) as refused:
        world.ask(*args, **more)
    return refused.value


def test_a_part_that_the_model_cannot_take_is_named_before_anything_is_spent(world: World) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    seen = {"role": "user", "content": [{"type": "text", "text": "?"}, image(f"data:image/png;base64,{DATA}")]}
    refused = refusal(world, "blind", [*turns, seen])
    assert (refused.param, refused.code) == ("messages[2].content[1]", "unsupported_content")
    assert "openai/gpt-3.5-turbo takes no images" in str(refused)
    sound = {"type": "input_audio", "input_audio": {"data": "AAEC", "format": "wav"}}
    assert refusal(world, "claude", [{"role": "user", "content": [sound]}]).param == "messages[0].content[0]"
    assert world.openai.chats == world.anthropic.chats == []
    world.ask("both", [seen])
    assert (len(world.openai.chats), len(world.gemini.chats)) == (0, 1)
    assert refusal(world, "llama", "hi", tools=[LOOK], tool_choice="required").param == "tool_choice"
    assert world.ollama.chats == []


def test_the_same_bytes_are_what_each_part_says_of_them(world: World) -> None:
    def sent(part: dict[str, Any]) -> str:
        world.ask("openai/gpt-4o", [{"role": "user", "content": [part]}])
        return json.dumps(world.openai.chats[-1].body["messages"][-1]["content"])

    document = {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{DATA}"}}
    assert f'"data:image/jpeg;base64,{DATA}"' in sent(image(f"data:image/jpg;base64,{DATA}"))
    assert f'"data:application/pdf;base64,{DATA}"' in sent(document)
    assert f'"data:image/png;base64,{DATA}"' in sent(image(f"data:image/png;base64,{DATA}"))


def test_what_a_model_has_no_place_for_is_told_or_refused(world: World) -> None:
    hi: Any = [{"role": "user", "content": "hi"}]
    asked = world.client.chat.completions.with_raw_response
    told = asked.create(model="anthropic/claude-opus-4-7", messages=hi, temperature=0.2, seed=1)
    assert told.headers["x-agentrt-ignored"] == "seed, temperature"
    assert "temperature" not in world.anthropic.chats[-1].body
    refused = refusal(world, "anthropic/claude-opus-4-7", hi, stop="\n\n")
    assert (refused.param, len(world.anthropic.chats)) == ("stop", 1)
    assert "takes no stop texts of nothing but white space" in str(refused)
    refused = refusal(world, "picky", "hi", temperature=0.2)
    assert (refused.param, refused.code, len(world.anthropic.chats)) == ("temperature", "unsupported_parameter", 1)


def test_what_a_provider_has_no_place_for_is_dropped_with_notice(world: World) -> None:
    for agent in ("bare", "llama"):
        raw = world.client.chat.completions.with_raw_response.create(
            model=agent, messages=[{"role": "user", "content": "hi"}], tools=[LOOK], parallel_tool_calls=False
        )
        assert raw.headers["x-agentrt-ignored"] == "parallel_tool_calls"


def test_an_image_by_address_is_fetched_once_for_those_who_want_bytes(world: World) -> None:
    asked: list[str] = []

    def serves(request: Request) -> Reply | None:
        if not request.path.startswith("/cat"):
            return None
        asked.append(request.path)
        return Reply([PNG], headers=(("content-type", "image/png"),))

    world.openai.answer = serves
    url = f"{world.openai.base_url.removesuffix('/v1')}/cat.png?size=1"
    first = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image(url)]}
    session = {"extra_headers": {"X-Session-Id": "pictures"}}
    world.ask("bare", [first], **session)
    answer = {"role": "assistant", "content": "Hello from upstream."}
    world.ask("bare", [first, answer, {"role": "user", "content": "And now?"}], **session)
    assert asked == ["/cat.png?size=1"]
    turns = [chat.body["contents"] for chat in world.gemini.chats]
    assert turns[0][0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": DATA}}
    assert turns[1][:1] == turns[0] and [turn["role"] for turn in turns[1]] == ["user", "model", "user"]
    world.ask("gpt", [first, answer, {"role": "user", "content": "And now?"}], **session)
    assert world.openai.chats[-1].body["messages"][0]["content"][1]["image_url"]["url"] == url
    assert asked == ["/cat.png?size=1"]


def test_a_model_that_takes_over_gets_the_bytes_of_an_image_that_the_first_one_took_by_its_address(world: World) -> None:
    world.openai.answer = lambda request: (
        Reply([PNG], headers=(("content-type", "image/png"),)) if "/cat" in request.path else None
    )
    world.openai.script(openai_upstream.refuses(503, "busy"))
    seen = [{"type": "text", "text": "What is this?"}, image(f"{world.openai.base_url.removesuffix('/v1')}/cat.png")]
    assert world.ask("pair", [{"role": "user", "content": seen}]).choices[0].message.content == "Hello from upstream."
    assert world.gemini.chats[0].body["contents"][0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": DATA}}


def test_an_image_that_cannot_be_fetched_is_the_caller_s_mistake(world: World) -> None:
    inside = [{"type": "text", "text": "?"}, image("http://169.254.169.254/latest/meta-data/")]
    refused = refusal(world, "bare", [{"role": "user", "content": inside}])
    assert (refused.param, refused.code) == ("messages[0].content[1].image_url.url", "image_address_refused")
    page = image(f"{world.gemini.base_url}/page")
    assert refusal(world, "bare", [{"role": "user", "content": [page]}]).code == "image_fetch_failed"
    assert world.gemini.chats == []


def test_images_that_tools_return_reach_the_model(world: World) -> None:
    called = ("older__picture", {})
    world.openai.script(openai_upstream.calls(called), openai_upstream.says("I see."))
    world.anthropic.script(anthropic_upstream.calls(called, think=False), anthropic_upstream.says("I see."))
    world.gemini.script(gemini_upstream.calls(called), gemini_upstream.says("I see."))
    world.ollama.script(ollama_upstream.calls(called), ollama_upstream.says("I see."))
    for agent in ("gpt", "claude", "twin", "llama"):
        assert world.ask(agent, "Show me.").choices[0].message.content == "I see."
    picture = "iVBORw0KGgo"
    user = world.openai.chats[1].body["messages"][-1]
    assert user["role"] == "user" and user["content"][1]["image_url"]["url"].startswith(f"data:image/png;base64,{picture}")
    result = world.anthropic.chats[1].body["messages"][-1]["content"][0]
    assert result["content"][0]["source"]["data"].startswith(picture)
    assert picture in json.dumps(world.gemini.chats[1].body["contents"][-1])
    assert world.ollama.chats[1].body["messages"][-1]["images"][0].startswith(picture)


def test_an_answer_in_the_wrong_form_is_asked_for_again_and_never_shown(world: World) -> None:
    world.anthropic.script(anthropic_upstream.says("Rome, of course."), anthropic_upstream.says('{"city": "Rome"}'))
    assert world.streamed("claude", "Which city?", response_format=FORM) == ('{"city": "Rome"}', ["stop"])
    told = world.anthropic.chats[1].body["messages"]
    assert [turn["role"] for turn in told] == ["user", "assistant", "user"]
    assert "It is not JSON" in told[2]["content"][0]["text"]
    run = world.run()
    [step] = run["steps"]
    assert [tried["error"]["code"] for tried in step["failed_attempts"]] == ["schema_mismatch"]
    assert run["usage"]["input_tokens"] == 2 * step["usage"]["input_tokens"]


def test_together_with_tools(world: World) -> None:
    called = ("older__picture", {})
    world.gemini.script(
        gemini_upstream.calls(called), gemini_upstream.says("It is Rome."), gemini_upstream.says('```json\n{"city": "Rome"}\n```')
    )
    assert world.streamed("twin", "Which city?", response_format=FORM) == ('{"city": "Rome"}', ["stop"])
    assert "responseJsonSchema" not in json.dumps(world.gemini.chats[0].body)
    world.ollama.script(ollama_upstream.calls(called), ollama_upstream.says("Rome."), ollama_upstream.says('{"city": "Rome"}'))
    assert world.streamed("llama", "Which city?", response_format=FORM) == ('{"city": "Rome"}', ["stop"])


def test_what_cannot_be_satisfied_is_an_error_with_the_reason(world: World) -> None:
    world.openai.script(*(openai_upstream.says('{"town": 1}') for _ in range(3)))
    with pytest.raises(openai.APIStatusError) as failed:
        world.streamed("gpt", "Which city?", response_format=FORM)
    assert (failed.value.status_code, failed.value.code) == (502, "response_format_unsatisfied")
    run = world.run()
    assert (run["status"], run["error"]["code"]) == ("failed", "response_format_unsatisfied")
    assert "town" in run["error"]["message"]
    assert run["usage"]["input_tokens"] == 33, "all three answers were paid for"


def test_on_every_wire_after_a_tool_s_result_with_and_without_a_stream(world: World) -> None:
    called, wrong = ("older__picture", {}), '{"town": 1}'
    speakers: dict[str, tuple[Any, Any, Reply]] = {
        "gpt": (world.openai, openai_upstream, openai_upstream.calls(called)),
        "claude": (world.anthropic, anthropic_upstream, anthropic_upstream.calls(called, think=False)),
        "twin": (world.gemini, gemini_upstream, gemini_upstream.calls(called)),
        "llama": (world.ollama, ollama_upstream, ollama_upstream.calls(called)),
    }
    for agent, (upstream, speaks, calling) in speakers.items():
        for ask in (world.ask, world.streamed):
            upstream.script(calling, *[speaks.says(wrong)] * 3)
            with pytest.raises(openai.APIError) as failed:
                ask(agent, "Which city?", response_format=FORM)
            assert failed.value.code == "response_format_unsatisfied", (agent, ask.__name__)
            assert "'town'" in failed.value.message or '"town"' in failed.value.message, failed.value.message
            upstream.script(calling, speaks.says(wrong), speaks.says('{"city": "Rome"}'))
            if ask == world.ask:
                (choice,) = world.ask(agent, "Which city?", response_format=FORM).choices
                assert (choice.message.content, choice.finish_reason) == ('{"city": "Rome"}', "stop")
            else:
                assert ask(agent, "Which city?", response_format=FORM) == ('{"city": "Rome"}', ["stop"])


def test_what_was_shown_before_it_broke_the_form_is_never_followed_by_another_answer(world: World) -> None:
    """Gemini keeps to a schema by itself, so its text streams: should it break it all the same, the stream ends in an error."""
    world.gemini.script(gemini_upstream.says('{"town": 1}'), gemini_upstream.says('{"city": "Rome"}'))
    shown = ""
    with pytest.raises(openai.APIError) as failed:
        for chunk in world.ask("bare", "Which city?", stream=True, response_format=FORM):
            shown += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert (shown, failed.value.code) == ('{"town": 1}', "model_failed_midway")
    assert "form that was asked for" in failed.value.message
    world.gemini.script(gemini_upstream.says('{"town": 1}'), gemini_upstream.says('{"city": "Rome"}'))
    (choice,) = world.ask("bare", "Which city?", response_format=FORM).choices
    assert choice.message.content == '{"city": "Rome"}'


def test_a_cut_answer_is_handed_on_as_such(world: World) -> None:
    world.openai.script(openai_upstream.streams({"content": '{"city": "Ro'}, finish="length"))
    assert world.streamed("gpt", "Which city?", response_format=FORM) == ('{"city": "Ro', ["length"])


def test_the_share_that_came_from_a_cache_is_in_the_run(world: World) -> None:
    world.ask("gpt", "hi")
    run = world.run()
    assert run["usage"]["cache_hit_ratio"] == round(3 / 11, 4) == run["steps"][0]["usage"]["cache_hit_ratio"]


def test_each_turn_of_a_session_begins_with_the_bytes_of_the_one_before(world: World) -> None:
    upstreams = {"gpt": world.openai, "claude": world.anthropic, "twin": world.gemini, "llama": world.ollama}
    for agent, upstream in upstreams.items():
        for said in ("one", "two", "three"):
            world.ask(agent, said, user=f"user of {agent}", extra_headers={"X-Session-Id": f"{agent}-long"})
        bodies = [without_marks(chat.body) for chat in upstream.chats]
        assert len(bodies) == 3
        for before, after in pairwise(bodies):
            assert after.startswith(before.rstrip("]}")), agent


def test_runs_of_an_agent_begin_alike(world: World) -> None:
    for user in ("ada", "bob"):
        world.ask("claude", f"I am {user}", user=user)
    ours, theirs = (chat.body for chat in world.anthropic.chats)
    assert (ours["tools"], ours.get("system")) == (theirs["tools"], theirs.get("system"))
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == {"messages", "metadata"}


def without_marks(body: Any) -> str:
    return json.dumps(body).replace(', "cache_control": {"type": "ephemeral"}', "")
