"""What providers cache is the beginning of a request: each turn must begin with the very bytes of the one before it."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, says
from agentrt.providers import ModelAsk
from agentrt.providers.anthropic_request import request_body as anthropic
from agentrt.providers.gemini_request import request_body as gemini
from agentrt.providers.ollama_request import request_body as ollama
from agentrt.providers.openai_request import request_body as openai
from agentrt.providers.openai_request import with_cache_key
from agentrt.providers.responses_request import request_body as responses
from agentrt.tools import ToolDef

PIXEL = "data:image/png;base64,iVBORw0KGgo="
ECHO = ToolDef(id="echo__echo", description="Says it.", schema={"type": "object", "properties": {}}, effect="read")
MINE = CallerTool(name="mine", parameters={"type": "object", "properties": {"a": {"type": "string"}}})
SIGNED = msgspec.Raw(b'{"type":"thinking","thinking":"Hm.","signature":"c2ln"}')
TURNS = (
    (Message("system", (Text("It is Monday."),)), Message("user", (Text("What is this?"), Image(url=PIXEL)))),
    (
        Message("assistant", (Thinking("Hm.", "acme", SIGNED), ToolCall("call_1", "echo__echo", '{"a": 1}'))),
        Message("tool", (ToolResult("call_1", (Text("one"), Image(url=PIXEL))),)),
    ),
    (says("assistant", "A pixel. "), Message("system", (Text("It is Tuesday."),)), says("user", "And now?")),
    (says("assistant", "Still."), Message("user", (Text("Bye"), File(data="data:text/plain;base64,aGk=", name="a.txt")))),
)
Wire = Callable[[ModelAsk], bytes]
WIRES: dict[str, tuple[str, Wire]] = {
    "openai": ("gpt-5.5", openai),
    "responses": ("gpt-5.5", lambda ask: responses(ask, "acme")),
    "anthropic": ("claude-sonnet-4-5", lambda ask: anthropic(ask, "acme")),
    "gemini": ("gemini-3-flash", lambda ask: gemini(ask, "acme")),
    "gemini 2": ("gemini-2.5-pro", lambda ask: gemini(ask, "acme")),
    "ollama": ("qwen3", lambda ask: ollama(ask, "acme")),
}
_MARK = re.compile(rb',"cache_control":\{"type":"ephemeral"\}')
PARAMETERS: tuple[dict[str, Any], ...] = ({}, {"temperature": 0.5, "max_tokens": 100, "tool_choice": "auto"})


def asked(model: str, turns: int, parameters: dict[str, Any]) -> ModelAsk:
    messages = tuple(message for turn in TURNS[:turns] for message in turn)
    return ModelAsk(
        model=model, system=("Be brief.",), messages=messages, tools=(ECHO,), caller_tools=(MINE,), parameters=parameters
    )


@pytest.mark.parametrize("parameters", PARAMETERS, ids=["plain", "with parameters"])
@pytest.mark.parametrize("wire", WIRES)
def test_each_turn_begins_with_the_bytes_of_the_one_before(wire: str, parameters: dict[str, Any]) -> None:
    model, write = WIRES[wire]
    bodies = [_MARK.sub(b"", write(asked(model, turns, parameters))) for turns in range(1, len(TURNS) + 1)]
    for before, after in pairwise(bodies):
        # the closing brackets give way to what follows
        assert after.startswith(before.rstrip(b"]}"))


@pytest.mark.parametrize("wire", WIRES)
def test_the_same_request_is_the_same_bytes(wire: str) -> None:
    model, write = WIRES[wire]
    assert write(asked(model, 3, PARAMETERS[1])) == write(asked(model, 3, PARAMETERS[1]))


def test_anthropic_is_told_what_to_keep_and_no_more_than_it_takes() -> None:
    for turns in range(1, len(TURNS) + 1):
        body = msgspec.json.decode(anthropic(asked("claude-sonnet-4-5", turns, {}), "acme"))
        marked = [body["tools"][-1], body["system"][0], body["messages"][-1]["content"][-1]]
        assert all("cache_control" in block for block in marked)
        assert 3 <= len(_MARK.findall(msgspec.json.encode(body))) <= 4


def test_openai_itself_gets_a_key_for_its_cache_and_nobody_else() -> None:
    ask = ModelAsk(model="gpt-5.5", cache_key="k1")
    assert with_cache_key(ask, "https://api.openai.com/v1").parameters == {"prompt_cache_key": "k1"}
    assert with_cache_key(ask, "http://127.0.0.1:8000/v1") is ask
    own = ModelAsk(model="gpt-5.5", cache_key="k1", parameters={"prompt_cache_key": "mine"})
    assert with_cache_key(own, "https://api.openai.com/v1") is own
