"""The Messages API, inward: the bytes of a stream become chunks, and at its end the whole message.

Only the fields that are used are decoded. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Usage

from .anthropic_blocks import Block, Blocks
from .anthropic_events import OURS, Delta, Event, Refusal, SpentTokens, decode
from .client import Chunk, Done, ModelAsk
from .errors import ModelFailure
from .estimate import tokens_asked, tokens_in
from .event_reader import EventReader
from .failures import clean, in_stream
from .foreign_events import is_foreign
from .sse import SseSplitter

_STOPS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_PAUSE = "pause_turn"


class AnthropicReader(EventReader):
    """Reads one answer, which may come in several streams: after a pause, `resume` and feed it the next one."""

    def __init__(self, provider: str, ask: ModelAsk, secrets: Iterable[str] = ()) -> None:
        super().__init__(provider, ask, secrets, SseSplitter())
        self._blocks = Blocks(provider, ask.call_prefix, ask.first_call)
        self._open: Block | None = None
        self._open_index = -1
        self._stop = ""
        self._model = ""
        self._spent: Usage | None = None  # by the streams before a pause
        self._counts: dict[str, int] = {}

    @property
    def begun(self) -> bool:
        """Whether what came so far says that the model is at work, not only that its provider is there."""
        return self._open is not None or self.complete

    @property
    def told(self) -> Usage | None:
        """What the provider has counted so far; None where it has told nothing."""
        return self._counted()

    @property
    def complete(self) -> bool:
        """Whether the model said that it has finished: without that word nothing tells an answer from a part of one."""
        return self.ended or bool(self._stop)

    @property
    def paused(self) -> bool:
        """Whether the model stopped only to be asked to go on."""
        return self._stop == _PAUSE

    def resume(self) -> None:
        """What is fed from here on goes on with the same answer."""
        self._spent = self._counted()
        self._splitter, self._counts, self._stop, self.ended = SseSplitter(), {}, "", False
        self._open, self._open_index = None, -1
        self._blocks.next_stream()

    def message(self) -> Message:
        """What has arrived, as a message."""
        return Message("assistant", self._blocks.parts())

    def done(self) -> Done:
        """The whole message; ModelFailure `truncated` where the stream ended before the model did."""
        if not self.complete:
            raise self._cut_short()
        message = self.message()
        stop = _STOPS.get(self._stop, "stop")
        if stop in ("stop", "tool_calls"):
            stop = "tool_calls" if message.calls else "stop"
        usage = self._counted()
        if usage is None:
            usage = Usage(tokens_asked(self._ask), tokens_in(message), estimated=True)
        return Done(message=message, usage=usage, stop=stop, model=self._model or self._ask.model)

    def _take(self, data: bytes, out: list[Chunk]) -> None:
        try:
            event = decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            if isinstance(exc, msgspec.ValidationError) and is_foreign(data, OURS):
                return
            raise self._malformed(clean(str(exc), self._secrets)) from exc
        match event.type:
            case "content_block_delta":
                if event.delta is not None:
                    self._take_delta(event.index, event.delta, out)
            case "content_block_start":
                self._begin(event.index, event.content_block or {}, out)
            case "message_start":
                if event.message is not None:
                    self._model = self._model or event.message.model or ""
                    self._count(event.message.usage)
            case "message_delta":
                if event.delta is not None:
                    self._finish(event.delta.stop_reason, event.delta.stop_details, out)
                self._count(event.usage)
            case "message_stop":
                self.ended = True
            case "error":
                raise in_stream(self._provider, event.error, secrets=self._secrets)
            case "message":
                self._take_whole(event, out)
            case _:
                self._take_other(event)

    def _take_delta(self, index: int, delta: Delta, out: list[Chunk]) -> None:
        block = self._open
        if block is None or index != self._open_index:
            block = self._block_at(index, delta)
        # Empty deltas say nothing: display may be off, and tool input begins with one.
        if text := delta.text:
            block.text.append(text)
            out.append(TextDelta(text=text))
        elif piece := delta.partial_json:
            block.text.append(piece)
            if block.place is not None:
                out.append(ToolCallDelta(index=block.place, arguments=piece))
        elif thought := delta.thinking:
            block.text.append(thought)
            out.append(ReasoningDelta(text=thought))
        elif delta.signature:
            block.signature += delta.signature
        elif delta.citation is not None:
            block.citations.append(delta.citation)

    def _block_at(self, index: int, delta: Delta) -> Block:
        block = self._blocks.at(index)
        if block is None:
            # Some who speak this dialect begin no block; what a delta says shows which it is of.
            kind = {"text_delta": "text", "thinking_delta": "thinking"}.get(delta.type or "")
            if kind is None:
                raise self._malformed(f"a part of a block {index} that never began")
            block = self._blocks.begin(index, {"type": kind})
        self._open, self._open_index = block, index
        return block

    def _begin(self, index: int, start: dict[str, Any], out: list[Chunk]) -> None:
        block = self._open = self._blocks.begin(index, start)
        self._open_index = index
        if block.place is not None:
            out.append(ToolCallDelta(index=block.place, id=block.our_id, name=block.name))
        elif said := "".join(block.text):
            out.append(ReasoningDelta(text=said) if block.kind == "thinking" else TextDelta(text=said))

    def _take_whole(self, event: Event, out: list[Chunk]) -> None:
        for index, start in enumerate(event.content or ()):
            self._begin(index, start, out)
            block = self._open
            if block is not None and block.place is not None:
                out[-1] = ToolCallDelta(index=block.place, id=block.our_id, name=block.name, arguments=block.arguments())
        self._model = event.model or ""
        self._finish(event.stop_reason, event.stop_details, out)
        self._count(event.usage)
        self.ended = True

    def _take_other(self, event: Event) -> None:
        """Pings and events that are not known yet say nothing; an object without a type is no event."""
        if event.error is not None:
            raise in_stream(self._provider, event.error, secrets=self._secrets)
        if not event.type:
            raise self._malformed("an object without a type")

    def _finish(self, reason: str | None, details: Refusal | None, out: list[Chunk]) -> None:
        if not reason:
            return
        self._stop = reason
        if reason == "refusal" and details is not None and details.explanation and not self.message().text:
            # Silence would look like a fault.
            self._blocks.begin(-1, {"type": "text", "text": details.explanation})
            out.append(TextDelta(text=details.explanation))

    def _count(self, usage: SpentTokens | None) -> None:
        """Counts grow in a stream: the last word on each holds."""
        if usage is None:
            return
        thought = usage.output_tokens_details
        for name, value in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached", usage.cache_read_input_tokens),
            ("cache_write", usage.cache_creation_input_tokens),
            ("reasoning", None if thought is None else thought.thinking_tokens),
        ):
            if value is not None:
                self._counts[name] = value

    def _counted(self) -> Usage | None:
        counts = self._counts
        # Their `input` leaves out what the cache took part in.
        read, written = counts.get("cached", 0), counts.get("cache_write", 0)
        asked = counts.get("input", 0) + read + written
        if not asked:  # who copies the wire and counts nothing says 0
            return self._spent
        usage = Usage(
            asked,
            counts.get("output", 0),
            read,
            counts.get("reasoning", 0),
            cache_write=written,
        )
        return usage if self._spent is None else self._spent + usage

    def _malformed(self, why: str) -> ModelFailure:
        return ModelFailure(f"{self._provider} sent what is not an answer of the Messages API: {why}", code="malformed")
