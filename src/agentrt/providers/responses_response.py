"""The Responses API, inward: the bytes of a stream become chunks, and at its end the whole message.

Only the fields that are used are decoded. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Usage

from .client import Chunk, Done, ModelAsk
from .errors import ModelFailure
from .estimate import tokens_asked, tokens_in
from .event_reader import EventReader
from .failures import clean, in_stream
from .foreign_events import is_foreign
from .openai_usage import by_kind
from .responses_events import OURS, Event, Response, SpentTokens, decode, decode_response
from .responses_items import Item, Items, refuses
from .sse import SseSplitter

_CUT = {"max_output_tokens": "length", "content_filter": "content_filter"}
_Kind = Literal["message", "reasoning", "function_call"]


class ResponsesReader(EventReader):
    """Reads one answer. Feed it what arrives; once it has `ended`, `done()` is the last chunk."""

    def __init__(self, provider: str, ask: ModelAsk, secrets: Iterable[str] = ()) -> None:
        super().__init__(provider, ask, secrets, SseSplitter())
        self._items = Items(provider, ask.call_prefix, ask.first_call)
        self._usage: SpentTokens | None = None
        self._stop = "stop"
        self._model = ""
        self._refused = False

    @property
    def begun(self) -> bool:
        """Whether what came so far says that the model is at work, not only that its provider is there."""
        return self.ended or self._items.at(0) is not None

    @property
    def told(self) -> Usage | None:
        """What the provider has counted so far; None where it has told nothing."""
        counted = self._counted(self.message())
        return None if counted.estimated else counted

    @property
    def complete(self) -> bool:
        """Whether the model said that it has finished: without that word nothing tells an answer from a part of one."""
        return self.ended

    def done(self) -> Done:
        """The whole message; ModelFailure `truncated` where the stream ended before the model did."""
        if not self.ended:
            raise self._cut_short()
        message = self.message()
        stop = "tool_calls" if self._stop == "stop" and message.calls else self._stop
        name = self._model or self._ask.model
        return Done(message=message, usage=self._counted(message), stop=stop, model=name, refused=self._refused)

    def message(self) -> Message:
        """What has arrived, as a message."""
        return Message("assistant", self._items.parts())

    def _take(self, data: bytes, out: list[Chunk]) -> None:
        if data == b"[DONE]":  # some servers end every stream with it
            return
        try:
            event = decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            if isinstance(exc, msgspec.ValidationError) and is_foreign(data, OURS):
                return
            raise self._malformed(str(exc)) from exc
        match event.type:
            case "response.output_text.delta" | "response.refusal.delta":
                self._refused = self._refused or event.type == "response.refusal.delta"
                self._say("message", event, out)
            case "response.function_call_arguments.delta":
                self._say("function_call", event, out)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._say("reasoning", event, out)
            case "response.output_item.added":
                self._begin(event.output_index, event.item or {}, out)
            case "response.output_item.done":
                self._finish_item(event.output_index, event.item or {}, out)
            case "response.completed" | "response.incomplete" | "response.failed":
                self._finish(self._response(event.response), out)
            case "error":
                said = {"message": event.message, "code": event.code} if event.error is None else event.error
                raise in_stream(self._provider, said, secrets=self._secrets)
            case _:
                self._take_other(event, data, out)

    def _take_other(self, event: Event, data: bytes, out: list[Chunk]) -> None:
        """Events that only repeat what others say, and those not known yet, say nothing; an object without a type is no
        event."""
        if event.object == "response":
            self._finish(self._response(data), out)
        elif event.error is not None:
            raise in_stream(self._provider, event.error, secrets=self._secrets)
        elif not event.type:
            raise self._malformed("an object without a type")

    def _response(self, data: bytes | msgspec.Raw) -> Response:
        try:
            return decode_response(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise self._malformed(str(exc)) from exc

    def _say(self, kind: _Kind, event: Event, out: list[Chunk]) -> None:
        piece = event.delta
        if not isinstance(piece, str) or not piece:
            return
        # Some who speak this dialect begin no item; what a delta says shows which it is of.
        item = self._items.at(event.output_index) or self._items.begin(event.output_index, {"type": kind})
        if kind == "reasoning":
            if item.said and event.summary_index != item.section:
                self._tell(item, "\n\n", out)
            item.section = event.summary_index
        self._tell(item, piece, out)

    def _tell(self, item: Item, piece: str, out: list[Chunk]) -> None:
        item.said.append(piece)
        if item.kind == "message":
            out.append(TextDelta(text=piece))
        elif item.kind == "reasoning":
            out.append(ReasoningDelta(text=piece))
        elif item.place is not None and item.name:
            out.append(ToolCallDelta(index=item.place, arguments=piece))

    def _begin(self, index: int, start: dict[str, Any], out: list[Chunk]) -> Item:
        item = self._items.begin(index, start)
        if item.place is not None and item.name:
            out.append(ToolCallDelta(index=item.place, id=item.our_id, name=item.name))
        return item

    def _finish_item(self, index: int, final: dict[str, Any], out: list[Chunk]) -> None:
        item = self._items.at(index)
        if item is None or item.final is not None:
            item = self._begin(index, final, out)
        item.final = final
        self._refused = self._refused or refuses(final)
        if item.place is not None and not item.name:
            item.name = str(final.get("name") or "")
            said = "".join(item.said)
            out.append(ToolCallDelta(index=item.place, id=item.our_id, name=item.name, arguments=said))
        if rest := item.rest():
            self._tell(item, rest, out)

    def _finish(self, response: Response, out: list[Chunk]) -> None:
        self._usage = response.usage
        if response.status == "failed" or response.error is not None:
            raise in_stream(self._provider, response.error or "the model broke off with an error", secrets=self._secrets)
        if response.status in ("cancelled", "queued", "in_progress"):
            raise ModelFailure(f"{self._provider} left the answer {response.status}", code="truncated", retryable=True)
        for index, final in enumerate(response.output or ()):
            item = self._items.at(index)
            if item is None or item.final is None:
                self._finish_item(index, final, out)
        if response.status == "incomplete":
            reason = response.incomplete_details and response.incomplete_details.reason
            self._stop = _CUT.get(reason or "", "length")
        self._model = response.model or ""
        self.ended = True

    def _counted(self, message: Message) -> Usage:
        usage = self._usage
        if usage is None or not usage.input_tokens or usage.output_tokens is None:
            return Usage(tokens_asked(self._ask), tokens_in(message), estimated=True)
        return by_kind(usage.input_tokens, usage.output_tokens, usage.input_tokens_details, usage.output_tokens_details)

    def _malformed(self, why: str) -> ModelFailure:
        said = clean(why, self._secrets)
        return ModelFailure(f"{self._provider} sent what is not an answer of the Responses API: {said}", code="malformed")
