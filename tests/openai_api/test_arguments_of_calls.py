"""The arguments of a call of the caller's, which are JSON on a stream too, even where a model wrote none."""

import json
from typing import Any

from openai.types.chat import ChatCompletionChunk

from agentrt.events import Delta, ModelCompleted, ModelStarted, Record, RunCompleted, ToolCallDelta
from agentrt.messages import Message, ToolCall, Usage
from agentrt.openai_api.frames import Frames

RUN = "run_" + "0" * 32


def streamed(*deltas: ToolCallDelta, calls: tuple[ToolCall, ...]) -> dict[int, tuple[list[str], str]]:
    """By index the pieces of arguments that a client gets, and the name."""
    frames = Frames(answer_id="chatcmpl-1", created=1, model="m", caller_tools={"look", "add"})
    records = [ModelStarted(step=1, model="m", boot="b")]
    records += [ModelCompleted(step=1, message=Message("assistant", calls), usage=Usage(), stop="tool_calls")]  # type: ignore[list-item]
    begun, done = (Record(RUN, seq, 1, event) for seq, event in enumerate(records, 1))
    end = Record(RUN, 3, 1, RunCompleted(finish_reason="tool_calls"))
    out = frames.render([begun, *(Delta(RUN, 1, 1, -1, delta) for delta in deltas), done, end]) + frames.finish({})
    said: dict[int, tuple[list[str], str]] = {}
    for event in out.removesuffix(b"data: [DONE]\n\n").split(b"\n\n")[:-1]:
        chunk = ChatCompletionChunk.model_validate(json.loads(event.removeprefix(b"data: ")))
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function is not None
            pieces, name = said.get(call.index, ([], ""))
            said[call.index] = ([*pieces, call.function.arguments or ""], name + (call.function.name or ""))
    return said


def begins(index: int, name: str, arguments: str = "") -> ToolCallDelta:
    return ToolCallDelta(index=index, id=f"call_{index}", name=name, arguments=arguments)


def test_a_call_without_arguments_ends_with_an_empty_object() -> None:
    look, add = ToolCall("call_0", "look", "{}"), ToolCall("call_1", "add", '{"a": 1}')
    said = streamed(begins(0, "look"), begins(1, "add"), ToolCallDelta(index=1, arguments='{"a": 1}'), calls=(look, add))
    assert said == {0: (["", "{}"], "look"), 1: (["", '{"a": 1}'], "add")}


def test_arguments_that_were_streamed_are_not_told_twice() -> None:
    for made in ("{}", '{"a": 1}'):
        call = ToolCall("call_0", "look", made)
        assert streamed(begins(0, "look", made), calls=(call,)) == {0: ([made], "look")}
        assert streamed(begins(0, "look"), ToolCallDelta(index=0, arguments=made), calls=(call,)) == {0: (["", made], "look")}
        assert streamed(calls=(call,)) == {0: ([made], "look")}


def test_calls_of_the_agents_own_stay_inside() -> None:
    assert streamed(begins(0, "inside"), calls=(ToolCall("call_0", "inside", "{}"),)) == {}


def test_every_client_can_read_what_it_was_sent() -> None:
    def arguments(said: dict[int, tuple[list[str], str]]) -> Any:
        return json.loads("".join(said[0][0]))

    assert arguments(streamed(begins(0, "look"), calls=(ToolCall("call_0", "look", "{}"),))) == {}
