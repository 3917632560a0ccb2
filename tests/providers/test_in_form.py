"""Answers are held to the form that was asked for: looked at, asked for again, and refused where they never have it."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from agentrt.events import TextDelta, ToolCallDelta
from agentrt.messages import Message, Text, ToolCall, ToolResult, Usage, says
from agentrt.providers import Abilities, Done, ModelAsk, ModelFailure, ProviderEntry, Retrying
from agentrt.providers.client import Chunk
from agentrt.providers.form_kept import keeps_form
from agentrt.providers.in_form import in_form
from agentrt.tools import ToolDef

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
STRICT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
LOOSE = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
LOCAL = ProviderEntry(wire="openai", base_url="http://127.0.0.1:1/v1")
OPENAI = ProviderEntry(wire="openai", api_key="k")
KEEPS = Abilities(structured_output=True)
ECHO = ToolDef(id="echo", description="", schema={"type": "object"}, effect="read")
FINISH = ToolDef(id="finish_task", description="", schema={"type": "object"}, effect="read")


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: Any) -> str:
    return request.param


class Says:
    """Gives these answers, one a call: a text, or a whole message; each costs ten tokens."""

    def __init__(self, *answers: str | Message, stop: str = "stop", refused: bool = False) -> None:
        self._answers, self._stop, self._refused = list(answers), stop, refused
        self.asks: list[ModelAsk] = []

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        self.asks.append(ask)
        said = self._answers.pop(0)
        message = says("assistant", said) if isinstance(said, str) else said
        for at in range(0, len(message.text), 3):
            yield [TextDelta(text=message.text[at : at + 3])]
        for index, call in enumerate(message.calls):
            yield [ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments)]
        stop = "tool_calls" if message.calls else self._stop
        yield [Done(message=message, usage=Usage(8, 2), stop=stop, refused=self._refused)]


async def chunks_of(
    model: Says, entry: ProviderEntry = LOCAL, known: Abilities = KEEPS, wanted: Any = LOOSE, **ask: Any
) -> list[Chunk]:
    asked = ModelAsk(model="m", messages=ask.pop("messages", (says("user", "?"),)), parameters={"response_format": wanted}, **ask)
    return [chunk async for chunks in in_form(model, entry, lambda: known, asked).stream(asked) for chunk in chunks]


def kinds(chunks: list[Chunk]) -> list[str]:
    return [type(chunk).__name__ for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def done_in(chunks: list[Chunk]) -> Done:
    assert isinstance(chunks[-1], Done)
    return chunks[-1]


async def test_free_text_costs_nothing() -> None:
    model = Says("x")
    assert in_form(model, LOCAL, Abilities, ModelAsk(model="m")) is model
    assert in_form(model, LOCAL, Abilities, ModelAsk(model="m", parameters={"response_format": {"type": "text"}})) is model


async def test_a_good_answer_is_shown_once_it_is_whole() -> None:
    chunks = await chunks_of(Says('{"n": 12345}'))
    assert kinds(chunks) == ["TextDelta", "Done"]
    assert text_of(chunks) == '{"n": 12345}'


async def test_a_wrong_answer_is_asked_for_again_and_never_shown() -> None:
    model = Says("Twelve.", '{"n": "x"}', '{"n": 12}')
    chunks = await chunks_of(model)
    assert kinds(chunks) == ["Retrying", "Retrying", "TextDelta", "Done"]
    assert text_of(chunks) == '{"n": 12}'
    tries = [chunk for chunk in chunks if isinstance(chunk, Retrying)]
    assert [(t.code, t.voids, t.usage.total, t.attempt) for t in tries] == [
        ("schema_mismatch", False, 10, 1),
        ("schema_mismatch", False, 10, 2),
    ]
    assert [m.role for m in model.asks[2].messages] == ["user", "assistant", "user", "assistant", "user"]
    assert "At $.n" in model.asks[2].messages[-1].text and '"additionalProperties"' in model.asks[2].messages[-1].text
    assert done_in(chunks).message.text == '{"n": 12}'


async def test_what_never_has_the_form_is_an_error_with_the_reason_and_its_cost() -> None:
    model = Says("a", "b", "c")
    with pytest.raises(ModelFailure, match="It is not JSON") as failure:
        await chunks_of(model)
    assert failure.value.code == "response_format_unsatisfied"
    assert failure.value.usage == Usage(8, 2)
    assert len(model.asks) == 3


async def test_a_code_fence_is_taken_off() -> None:
    chunks = await chunks_of(Says('```json\n{"n": 1}\n```'))
    assert text_of(chunks) == done_in(chunks).message.text == '{"n": 1}'


async def test_an_answer_that_was_cut_is_handed_on_as_such() -> None:
    chunks = await chunks_of(Says('{"n": 1', stop="length"))
    assert (text_of(chunks), done_in(chunks).stop) == ('{"n": 1', "length")


async def test_a_refusal_is_no_mistake_of_form() -> None:
    chunks = await chunks_of(Says("I will not.", refused=True))
    assert (text_of(chunks), done_in(chunks).stop) == ("I will not.", "content_filter")


async def test_an_answer_with_tool_calls_is_not_the_last_one() -> None:
    call = ToolCall("call_1", "echo", "{}")
    chunks = await chunks_of(Says(Message("assistant", (Text("Let me see."), call))), tools=(ECHO,))
    assert text_of(chunks) == "Let me see."
    assert done_in(chunks).message.calls == (call,)


async def test_the_result_that_ends_a_task_is_the_answer() -> None:
    wrong = ToolCall("call_000", "finish_task", '{"result": "twelve"}')
    right = ToolCall("call_001", "finish_task", '{"result": "{\\"n\\": 12}"}')
    model = Says("I think.", Message("assistant", (wrong,)), Message("assistant", (right,)))
    thinking = await chunks_of(model, tools=(FINISH,))
    assert text_of(thinking) == "I think."
    chunks = await chunks_of(model, tools=(FINISH,))
    assert [kind for kind in kinds(chunks) if kind != "ToolCallDelta"] == ["Retrying", "Done"]
    told = model.asks[2].messages[-1].parts[0]
    assert isinstance(told, ToolResult) and told.is_error and told.call_id == "call_000"
    assert model.asks[2].first_call == 1


async def test_what_the_provider_keeps_to_streams_and_what_breaks_it_all_the_same_is_void() -> None:
    assert kinds(await chunks_of(Says('{"n": 12345}'), OPENAI, wanted=STRICT))[:2] == ["TextDelta", "TextDelta"]
    chunks = await chunks_of(Says('{"n": "twelve"}', '{"n": 12}'), OPENAI, wanted=STRICT)
    failed = next(chunk for chunk in chunks if isinstance(chunk, Retrying))
    assert failed.voids
    assert text_of(chunks[chunks.index(failed) :]) == '{"n": 12}'


async def test_what_does_not_begin_as_json_is_shown_once_it_was_judged_even_where_the_provider_keeps_to_forms() -> None:
    for broken in ("Twelve.", " ", "``"):
        chunks = await chunks_of(Says(broken, '{"n": 12}'), OPENAI, wanted=STRICT)
        assert [chunk.voids for chunk in chunks if isinstance(chunk, Retrying)] == [False]
        assert text_of(chunks) == '{"n": 12}'
    fenced = await chunks_of(Says('```json\n{"n": 12}\n```'), OPENAI, wanted=STRICT)
    assert text_of(fenced) == '{"n": 12}', "and never twice"
    assert text_of(await chunks_of(Says(' \n\n {"n": 12}'), OPENAI, wanted=STRICT)) == ' \n\n {"n": 12}'


async def test_a_model_without_the_parameter_is_told_in_words() -> None:
    model = Says('{"n": 1}')
    await chunks_of(model, LOCAL, Abilities(structured_output=False), system=("Be brief.",))
    assert "response_format" not in model.asks[0].parameters
    assert model.asks[0].system[0] == "Be brief." and '"required":["n"]' in model.asks[0].system[1]


async def test_a_text_that_another_model_began_is_judged_as_a_whole() -> None:
    begun = (says("user", "?"), says("assistant", '{"n": '))
    assert text_of(await chunks_of(Says("12}"), messages=begun)) == "12}"
    with pytest.raises(ModelFailure):
        await chunks_of(Says("twelve}"), messages=begun)


async def test_a_schema_that_is_none_is_the_caller_s_mistake() -> None:
    bad = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nope"}}}
    with pytest.raises(ModelFailure) as failure:
        await chunks_of(Says("x"), wanted=bad)
    assert failure.value.code == "invalid_request"


@pytest.mark.parametrize(
    ("entry", "model", "wanted", "tools", "kept"),
    [
        (OPENAI, "gpt-5.5", STRICT, (ECHO,), True),
        (OPENAI, "gpt-5.5", LOOSE, (), False),
        (LOCAL, "gpt-5.5", STRICT, (), False),
        (OPENAI, "gpt-5.5", {"type": "json_object"}, (), True),
        (ProviderEntry(wire="anthropic"), "claude-sonnet-5-5", LOOSE, (ECHO,), True),
        (ProviderEntry(wire="anthropic"), "claude-3-7-sonnet", LOOSE, (), False),
        (ProviderEntry(wire="anthropic"), "claude-sonnet-5-5", {"type": "json_object"}, (), False),
        (ProviderEntry(wire="gemini"), "gemini-3-flash", LOOSE, (ECHO,), True),
        (ProviderEntry(wire="gemini"), "gemini-2.5-pro", LOOSE, (), True),
        (ProviderEntry(wire="gemini"), "gemini-2.5-pro", LOOSE, (ECHO,), False),
        (ProviderEntry(wire="ollama"), "qwen3", LOOSE, (), True),
        (ProviderEntry(wire="ollama"), "qwen3", LOOSE, (ECHO,), False),
    ],
)
def test_who_keeps_to_a_form_by_itself(entry: ProviderEntry, model: str, wanted: Any, tools: Any, kept: bool) -> None:
    asked = ModelAsk(model=model, tools=tools, parameters={"response_format": wanted})
    assert keeps_form(entry, KEEPS, asked) is kept


def test_what_a_grammar_may_overlook_is_not_left_to_it() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 7}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    for wire in ("anthropic", "gemini", "ollama"):
        asked = ModelAsk(model="claude-sonnet-5-5", parameters={"response_format": wanted})
        assert not keeps_form(ProviderEntry(wire=wire), KEEPS, asked)
