"""Characters that a server cut between their two escapes, in every wire."""

import json
from typing import Any

import pytest

from agentrt.events import TextDelta
from agentrt.providers import ModelAsk, ModelFailure
from agentrt.providers.anthropic_response import AnthropicReader
from agentrt.providers.gemini_response import GeminiReader
from agentrt.providers.ollama_response import OllamaReader
from agentrt.providers.openai_response import OpenAIReader
from agentrt.providers.responses_response import ResponsesReader
from agentrt.providers.surrogates import whole_characters

MARK = "�"


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def openai(said: str) -> bytes:
    return event(f'{{"choices":[{{"index":0,"delta":{{"content":"{said}"}}}}]}}')


def anthropic(said: str) -> bytes:
    begun = event('{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}')
    delta = f'{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{said}"}}}}'
    return begun + event(delta)


def responses(said: str) -> bytes:
    return event(f'{{"type":"response.output_text.delta","output_index":0,"delta":"{said}"}}')


def gemini(said: str) -> bytes:
    return event(f'{{"candidates":[{{"content":{{"parts":[{{"text":"{said}"}}]}}}}]}}')


def ollama(said: str) -> bytes:
    return f'{{"message":{{"role":"assistant","content":"{said}"}},"done":false}}\n'.encode()


WIRES: Any = pytest.mark.parametrize(
    ("reader", "wire"),
    [
        (OpenAIReader, openai),
        (ResponsesReader, responses),
        (AnthropicReader, anthropic),
        (GeminiReader, gemini),
        (OllamaReader, ollama),
    ],
    ids=["openai", "openai_responses", "anthropic", "gemini", "ollama"],
)


@WIRES
def test_half_a_character_costs_no_more_than_that_character(reader: Any, wire: Any) -> None:
    made = reader("acme", ModelAsk(model="m"))
    pieces = (r"a\ud83d", r"\ude00b", r"\ud83d\ude00", r"\\ud83d \uD83d\n\udE00", "ü🌍")
    said = [chunk.text for piece in pieces for chunk in made.feed(wire(piece)) if isinstance(chunk, TextDelta)]
    assert said == [f"a{MARK}", f"{MARK}b", "😀", f"\\ud83d {MARK}\n{MARK}", "ü🌍"]


@WIRES
def test_what_no_character_would_mend_stays_malformed(reader: Any, wire: Any) -> None:
    made = reader("acme", ModelAsk(model="m"))
    with pytest.raises(ModelFailure) as failed:
        made.feed(wire(r"\ud83d").replace(b"}", b"", 1))
    assert failed.value.code == "malformed"


def test_whole_pairs_and_other_escapes_stay_as_they_are() -> None:
    for text in ("😀", 'a "quoted" \\ back\\slash \n', "\\ud83d", "plain"):
        data = json.dumps({text: text}).encode()
        assert whole_characters(data) == data
