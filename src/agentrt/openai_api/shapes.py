"""The shapes of answers, for the published schema and for tests that hold us to it."""

from typing import Any, Literal

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True): ...


class CalledFunction(Shape, frozen=True):
    name: str
    arguments: str


class ToolCall(Shape, frozen=True):
    id: str
    type: Literal["function"]
    function: CalledFunction


class AnswerMessage(Shape, frozen=True):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] = []


class Choice(Shape, frozen=True):
    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    logprobs: None = None


class ChatUsage(Shape, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int] = {}
    completion_tokens_details: dict[str, int] = {}


class ChatCompletion(Shape, frozen=True):
    """`id` is `chatcmpl-` and the body of the run's id; `model` is the name that the request gave."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage


class FunctionPiece(Shape, frozen=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallPiece(Shape, frozen=True):
    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionPiece | None = None


class ChunkDelta(Shape, frozen=True):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallPiece] = []


class ChunkChoice(Shape, frozen=True):
    index: int
    delta: ChunkDelta
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] | None = None


class ChatCompletionChunk(Shape, frozen=True):
    """One `data:` of a stream. `agentrt` carries progress and totals; it stands where `choices` is empty."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    agentrt: dict[str, Any] = {}
