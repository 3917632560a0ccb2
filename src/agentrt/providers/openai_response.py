"""The OpenAI dialect, inward: the bytes of a chat completion stream become chunks, and at its end the whole message.

Only the fields that are used are decoded. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from agentrt.events import ReasoningDelta, TextDelta
from agentrt.messages import Message, Part, Text, Usage

from .client import Chunk, Done, ModelAsk
from .errors import ModelFailure
from .estimate import tokens_asked, tokens_in
from .event_reader import EventReader
from .failures import clean, in_stream
from .openai_calls import CallDelta, CallFunction, CallsReader
from .openai_reasoning import Reasoning
from .openai_usage import InputDetails, OutputDetails, by_kind
from .sse import SseSplitter

_STOPS = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
}
# Some say so where the answer was broken off by a fault of theirs.
_FAULTS = frozenset({"abort", "aborted", "cancelled", "error", "insufficient_system_resource", "network_error"})


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: CallFunction | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None  # where the provider does not stream although it was asked to
    finish_reason: str | None = None


class _Piece(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Piece).decode


class OpenAIReader(EventReader):
    """Reads one answer; `[DONE]` ends it."""

    def __init__(self, provider: str, ask: ModelAsk, secrets: Iterable[str] = ()) -> None:
        super().__init__(provider, ask, secrets, SseSplitter())
        self._text: list[str] = []
        self._refused = False
        self._reasoning = Reasoning(provider)
        self._calls = CallsReader(provider, ask.call_prefix, ask.first_call)
        self._began = False
        self._usage: _Usage | None = None
        self._stop = ""
        self._model = ""

    @property
    def told(self) -> Usage | None:
        """What the provider has counted so far; None where it has told nothing."""
        counted = self._counted(self.message())
        return None if counted.estimated else counted

    @property
    def complete(self) -> bool:
        """Whether the model said that it has finished: without that word nothing tells an answer from a part of one."""
        return bool(self._stop) or (self.ended and self._began)

    def done(self) -> Done:
        """The whole message; ModelFailure `truncated` where the stream ended before the model did."""
        if not self.complete:
            raise self._cut_short()
        message = self.message()
        stop = self._stop or "stop"
        if stop == "stop" and message.calls:
            stop = "tool_calls"
        name = self._model or self._ask.model
        return Done(message=message, usage=self._counted(message), stop=stop, model=name, refused=self._refused)

    def _take(self, data: bytes, out: list[Chunk]) -> None:
        if data[:1] != b"{" and data.strip() == b"[DONE]":
            self.ended = True
            return
        try:
            piece = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise ModelFailure(
                f"{self._provider} sent what is not a chat completion: {clean(str(exc), self._secrets)}", code="malformed"
            ) from exc
        if piece.choices:
            self._take_choice(piece.choices[0], out)
        elif piece.usage is None and piece.error is None:
            self._take_other(data)
        if piece.usage is not None:
            self._usage = piece.usage
        if piece.model and not self._model:
            self._model = piece.model
        if piece.error is not None:
            raise in_stream(self._provider, piece.error, secrets=self._secrets)

    def _take_other(self, data: bytes) -> None:
        """Some say bare what others say under `error`; anything else without a choice says nothing."""
        said: dict[str, Any] = msgspec.json.decode(data)
        if said.get("object") == "error" or ("choices" not in said and ("message" in said or "detail" in said)):
            raise in_stream(self._provider, said, secrets=self._secrets)

    def _take_choice(self, choice: _Choice, out: list[Chunk]) -> None:
        self._began = True
        delta = choice.delta
        if delta is None and (delta := choice.message) is not None:
            self.ended = True  # a whole answer, not a piece of one
            self._leave_out_what_was_said(delta)
        if delta is not None:
            if content := delta.content:
                if isinstance(content, str):
                    self._say(content, out)
                else:
                    self._take_parts(content, out)
            if delta.reasoning_content is not None or delta.reasoning is not None or delta.reasoning_details:
                self._think(delta, out)
            if delta.refusal:
                self._refused = True
                self._say(delta.refusal, out)
            if delta.tool_calls:
                out.extend(self._calls.feed(delta.tool_calls))
            elif delta.function_call is not None:
                out.extend(self._calls.feed([CallDelta(function=delta.function_call)]))
        if choice.finish_reason:
            self._finish(choice.finish_reason)

    def _leave_out_what_was_said(self, whole: _Delta) -> None:
        """Some end a stream with the whole answer once more."""
        said = "".join(self._text)
        if isinstance(whole.content, str) and whole.content.startswith(said):
            whole.content = whole.content[len(said) :]
        elif said:
            whole.content = None
        if self._reasoning.began:
            whole.reasoning_content = whole.reasoning = whole.reasoning_details = None
        if self._refused:
            whole.refusal = None
        if self._calls.began:
            whole.tool_calls = whole.function_call = None

    def _say(self, text: str, out: list[Chunk]) -> None:
        self._text.append(text)
        out.append(TextDelta(text=text))

    def _think(self, delta: _Delta, out: list[Chunk]) -> None:
        if text := self._reasoning.add(delta.reasoning_content, delta.reasoning, delta.reasoning_details):
            out.append(ReasoningDelta(text=text))

    def _take_parts(self, content: list[dict[str, Any]], out: list[Chunk]) -> None:
        """Content as a list of typed parts, which some dialects send once a model reasons."""
        for part in content:
            if text := part.get("text"):
                self._say(str(text), out)
            for thought in part.get("thinking") or ():
                if text := thought.get("text") if isinstance(thought, dict) else thought:
                    self._reasoning.tell(str(text))
                    out.append(ReasoningDelta(text=str(text)))

    def _finish(self, reason: str) -> None:
        if reason in _FAULTS:
            raise in_stream(self._provider, "the model broke off with an error", secrets=self._secrets)
        self._stop = _STOPS.get(reason, "stop")

    def message(self) -> Message:
        """What has arrived, as a message."""
        calls = self._calls.finished()
        parts: list[Part] = []
        if (thought := self._reasoning.part(calls=bool(calls))) is not None:
            parts.append(thought)
        if self._text:
            parts.append(Text("".join(self._text)))
        return Message("assistant", (*parts, *calls))

    def _counted(self, message: Message) -> Usage:
        usage = self._usage
        if usage is None or not usage.prompt_tokens or usage.completion_tokens is None:
            return Usage(tokens_asked(self._ask), tokens_in(message), estimated=True)
        details = usage.prompt_tokens_details, usage.completion_tokens_details
        return by_kind(usage.prompt_tokens, usage.completion_tokens, *details)
