"""Events, parts and fields that a provider may come to send, and that are not known yet."""

import json
from typing import Any

import pytest

from agentrt.events import ToolCallDelta
from agentrt.providers import Done, ModelAsk, ModelFailure
from agentrt.providers.anthropic_response import AnthropicReader
from agentrt.providers.gemini_response import GeminiReader
from agentrt.providers.responses_response import ResponsesReader
from upstreams import anthropic_upstream as anthropic
from upstreams import gemini_upstream as gemini
from upstreams import responses_upstream as responses

ASK = ModelAsk(model="m", call_prefix="call_")


def end_of(reader: Any, *frames: bytes) -> Done:
    for frame in frames:
        reader.feed(frame)
    reader.end()
    return reader.done()


@pytest.mark.parametrize(
    "foreign",
    [
        {"type": "notice", "message": "words, not a message"},
        {"type": "notice", "index": "zero", "delta": [], "usage": 3},
        {"type": "notice", "error": None, "content": "text"},
    ],
)
def test_anthropic_may_send_new_events_with_anything_in_them(foreign: dict[str, Any]) -> None:
    events = [anthropic.start(), foreign, *anthropic.text(0, "Yes."), *anthropic.finish()]
    assert end_of(AnthropicReader("acme", ASK), *map(anthropic.event, events)).message.text == "Yes."


def test_an_event_of_anthropics_that_is_known_has_to_be_as_it_is_known() -> None:
    for odd in ({"type": "content_block_delta", "index": "zero"}, {"type": "", "index": "zero"}):
        with pytest.raises(ModelFailure, match="not an answer of the Messages API"):
            end_of(AnthropicReader("acme", ASK), anthropic.event(anthropic.start()), anthropic.event(odd))


@pytest.mark.parametrize(
    "foreign",
    [{"type": "response.new.thing", "item": "words", "output_index": "zero"}, {"type": "keepalive", "summary_index": "none"}],
)
def test_the_responses_api_may_send_new_events_with_anything_in_them(foreign: dict[str, Any]) -> None:
    said = responses.message("Yes.")
    events = [foreign, *responses.told(0, said), responses.ending("completed", (said,))]
    assert end_of(ResponsesReader("acme", ASK), *map(responses.event, events)).message.text == "Yes."


def test_a_refusal_that_came_whole_is_a_refusal_too() -> None:
    no = responses.refusal("No.")
    for events in (
        [{"type": "response.output_item.done", "output_index": 0, "item": no}, responses.ending("completed", (no,))],
        [responses.ending("completed", (no,))],
        [*responses.told(0, no), responses.ending("completed", (no,))],
    ):
        read = end_of(ResponsesReader("acme", ASK), *map(responses.event, events))
        assert (read.message.text, read.refused) == ("No.", True)
    assert not end_of(ResponsesReader("acme", ASK), responses.event(responses.ending("completed", ()))).refused


@pytest.mark.parametrize("call", [{"name": "look"}, {"name": "look", "args": None}, {"name": "look", "args": {}}])
def test_geminis_call_without_arguments_has_an_empty_object(call: dict[str, Any]) -> None:
    reader = GeminiReader("acme", ASK)
    chunks = reader.feed(gemini.event(gemini.piece({"functionCall": call}, finish="STOP")))
    assert [chunk.arguments for chunk in chunks if isinstance(chunk, ToolCallDelta)] == ["{}"]
    assert reader.done().message.calls[0].arguments == "{}"


@pytest.mark.parametrize("reader", [AnthropicReader, GeminiReader, ResponsesReader])
def test_events_without_anything_in_them_say_nothing(reader: Any) -> None:
    made = reader("acme", ASK)
    assert made.feed(b"data:\n\ndata: \n\n: ping\n\nevent: ping\n\n") == []
    assert made.feed(b"data: ") == [] and made.end() == []
    with pytest.raises(ModelFailure, match="before the answer was complete"):
        made.done()


def test_parts_of_geminis_that_are_not_known_yet_are_passed_over() -> None:
    frame = gemini.event(gemini.piece({"newThing": json.loads('{"a": [1]}')}, {"text": "Yes."}, finish="STOP"))
    assert end_of(GeminiReader("acme", ASK), frame).message.text == "Yes."
