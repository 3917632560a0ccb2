"""Ollama's own dialect, inward: the JSON lines of `/api/chat` become chunks, and at their end the whole message. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from agentrt.events import ReasoningDelta, TextDelta
from agentrt.messages import Message, Part, Text, Thinking, Usage

from .client import Chunk, Done, ModelAsk
from .errors import ModelFailure
from .estimate import tokens_asked, tokens_in
from .event_reader import EventReader
from .failures import clean, in_stream
from .ndjson import LineSplitter
from .ollama_calls import Call, CallsReader

# An older server gives no reason; `load` and `unload` are what it answers where there was nothing to say.
_STOPS = {"length": "length"}


class _Said(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class _Line(msgspec.Struct, gc=False):
    message: _Said | None = None
    done: bool = False
    done_reason: str | None = None
    model: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Line).decode


class OllamaReader(EventReader):
    """Reads one answer."""

    unit = "a line"

    def __init__(self, provider: str, ask: ModelAsk, secrets: Iterable[str] = ()) -> None:
        super().__init__(provider, ask, secrets, LineSplitter())
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._calls = CallsReader(provider, ask.call_prefix, ask.first_call)
        self._last: _Line | None = None

    @property
    def complete(self) -> bool:
        """Whether the model said that it has finished: without that word nothing tells an answer from a part of one."""
        return self.ended

    def done(self) -> Done:
        """The whole message; ModelFailure `truncated` where the stream ended before the model did."""
        last = self._last
        if last is None:
            raise self._cut_short()
        message = self.message()
        stop = _STOPS.get(last.done_reason or "", "stop")
        if stop == "stop" and message.calls:
            stop = "tool_calls"
        return Done(message=message, usage=self._counted(last, message), stop=stop, model=last.model or self._ask.model)

    def _take(self, data: bytes, out: list[Chunk]) -> None:
        try:
            read = _decode(data)
            said = read.message
            calls = [self._calls.take(call) for call in (said and said.tool_calls) or ()]
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise ModelFailure(
                f"{self._provider} sent what is not an Ollama answer: {clean(str(exc), self._secrets)}", code="malformed"
            ) from exc
        if read.error is not None:
            raise in_stream(self._provider, read.error, secrets=self._secrets)
        if said is not None:
            self._show(said, out)
        out += calls
        if read.done:
            self._last, self.ended = read, True

    def _show(self, said: _Said, out: list[Chunk]) -> None:
        if said.thinking:
            self._thoughts.append(said.thinking)
            out.append(ReasoningDelta(text=said.thinking))
        if said.content:
            self._text.append(said.content)
            out.append(TextDelta(text=said.content))

    def message(self) -> Message:
        """What has arrived, as a message."""
        parts: list[Part] = []
        if self._thoughts:
            parts.append(Thinking("".join(self._thoughts), self._provider))
        if self._text:
            parts.append(Text("".join(self._text)))
        return Message("assistant", (*parts, *self._calls.calls))

    def _counted(self, last: _Line, message: Message) -> Usage:
        asked, said = last.prompt_eval_count, last.eval_count
        if not asked or said is None:
            # A prompt that was all in its cache is not counted at all.
            return Usage(asked or tokens_asked(self._ask), said or tokens_in(message), estimated=True)
        return Usage(asked, said)
