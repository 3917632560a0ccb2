"""The Gemini dialect, inward: the bytes of a `streamGenerateContent` stream become chunks, and at its end the whole message.

A part that its next turn wants back as it came (a thought signature, code that ran) stays in the message byte for byte: in
`ToolCall.opaque` or in a `Thinking` without text of its own, right after the text that it showed. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Image, Message, Part, Text, Thinking, ToolCall, Usage

from .client import Chunk, Done, ModelAsk
from .errors import ModelFailure
from .event_reader import EventReader
from .failures import clean, in_stream
from .gemini_parts import Blob, Call, CallExtras, decode_part
from .gemini_parts import Part as WirePart
from .gemini_usage import UsageMetadata, counted
from .sse import SseSplitter

_STOPS = {
    "STOP": "stop",
    "FUNCTION_CALL": "stop",  # what some gateways make of it
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
}
_PAUSE = "CONTINUATION"  # one request brings no more; where there is a token it is gone on with
# The model wrote what is no call: the next attempt may do better.
_BAD_CALLS = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"})
# The same request would end so again.
_FINAL = {
    "LANGUAGE": "invalid_request",
    "MISSING_THOUGHT_SIGNATURE": "invalid_request",
    "PUP_LIMITED_DISABLED": "permission",  # the account is limited
}


class _Content(msgspec.Struct, gc=False):
    parts: list[msgspec.Raw] | None = None


class _Candidate(msgspec.Struct, rename="camel", gc=False):
    index: int = 0
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    continuation_token: str | None = None


class _Feedback(msgspec.Struct, rename="camel", gc=False):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Piece(msgspec.Struct, rename="camel", gc=False):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Piece).decode
_decode_pieces = msgspec.json.Decoder(list[_Piece]).decode


class GeminiReader(EventReader):
    """Reads one answer, which may come in several streams: where it is `paused`, `resume` and feed it the next one, that was
    asked for with its `continuation`.

    `ended` never comes true: only the end of the body says that there is no more, for a `finishReason` may come early.
    """

    def __init__(self, provider: str, ask: ModelAsk, secrets: Iterable[str] = ()) -> None:
        super().__init__(provider, ask, secrets, SseSplitter())
        self._parts: list[Part] = []
        self._run: list[str] = []  # pieces of the text or thought that is being written
        self._thinks = False  # which of the two it is
        self._calls = 0
        self._usage: UsageMetadata | None = None
        self._spent: Usage | None = None  # by the streams before a pause
        self._stop = ""
        self._model = ""
        self._pauses = False
        self._token = self.continuation = ""

    @property
    def told(self) -> Usage | None:
        """What the provider has counted so far; None where it has told nothing."""
        usage = self._counted(self.message())
        return None if usage.estimated else usage

    @property
    def complete(self) -> bool:
        """Whether the model said that it has finished: without that word nothing tells an answer from a part of one."""
        return bool(self._stop)

    @property
    def paused(self) -> bool:
        """Whether the model stopped only to be asked to go on, from where it was not asked before."""
        return self._pauses and self._token not in ("", self.continuation)

    def resume(self) -> None:
        """What is fed from here on goes on with the same answer."""
        self._spent = self._counted(self.message())
        self.continuation, self._stop, self._usage = self._token, "", None
        self._splitter, self._pauses = SseSplitter(), False

    def end(self) -> list[Chunk]:
        """The body is over: what an event without its closing blank line still held."""
        data = self._splitter.end()
        if not data:
            return []
        try:
            return self.whole(data)
        except ModelFailure as failure:
            if failure.code == "malformed" and not self._stop:
                return []  # cut off in the middle of an event: `done` says so
            raise

    def whole(self, body: bytes) -> list[Chunk]:
        """The chunks in one JSON document: a piece of a stream, or the array of them that comes without `alt=sse`."""
        if body.lstrip()[:1] != b"[":
            return super().whole(body)
        out: list[Chunk] = []
        for piece in self._decoded(_decode_pieces, body):
            self._take_piece(piece, out)
        return out

    def done(self) -> Done:
        """The whole message; ModelFailure `truncated` where the stream ended before the model did."""
        if not self.complete:
            raise self._cut_short()
        message = self.message()
        stop = "tool_calls" if self._stop == "stop" and self._calls else self._stop
        return Done(message=message, usage=self._counted(message), stop=stop, model=self._model or self._ask.model)

    def message(self) -> Message:
        """What has arrived, as a message."""
        self._close_run()
        return Message("assistant", tuple(self._parts))

    def _decoded(self, decode: Any, data: bytes | msgspec.Raw) -> Any:
        try:
            return decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise ModelFailure(
                f"{self._provider} sent what is not a Gemini answer: {clean(str(exc), self._secrets)}", code="malformed"
            ) from exc

    def _take(self, data: bytes, out: list[Chunk]) -> None:
        self._take_piece(self._decoded(_decode, data), out)

    def _take_piece(self, piece: _Piece, out: list[Chunk]) -> None:
        if piece.error is not None:
            raise in_stream(self._provider, piece.error, secrets=self._secrets)
        if piece.usage_metadata is not None:
            self._usage = piece.usage_metadata
        if piece.model_version:
            self._model = piece.model_version
        if (feedback := piece.prompt_feedback) is not None and feedback.block_reason:
            why = feedback.block_reason_message or feedback.block_reason
            raise ModelFailure(
                f"{self._provider} filtered this request: {clean(why, self._secrets)}", code="content_filter", status=200
            )
        for candidate in piece.candidates or ():
            if candidate.index == 0:
                self._take_candidate(candidate, out)

    def _take_candidate(self, candidate: _Candidate, out: list[Chunk]) -> None:
        if candidate.content is not None:
            for raw in candidate.content.parts or ():
                self._take_part(raw, self._decoded(decode_part, raw), out)
        if candidate.continuation_token:
            self._token = candidate.continuation_token
        if candidate.finish_reason:
            self._finish(candidate.finish_reason, candidate.finish_message or "")

    def _take_part(self, raw: msgspec.Raw, part: WirePart, out: list[Chunk]) -> None:
        if (call := part.function_call) is not None:
            self._close_run()
            out.append(self._call(call, part.thought_signature or ""))
            return
        keep = bool(part.thought_signature) or part.is_code
        if keep or bool(part.thought) is not self._thinks:
            self._close_run()
        self._thinks = bool(part.thought)
        if self._thinks:
            self._think(part.text or "", out)
        elif shown := part.shown:
            self._run.append(shown)
            out.append(TextDelta(text=shown))
        if (blob := part.inline_data) is not None and not part.thought:
            self._show(blob)
        if keep:
            self._keep(raw)

    def _think(self, text: str, out: list[Chunk]) -> None:
        if text:
            self._run.append(text)
            out.append(ReasoningDelta(text=text))

    def _keep(self, raw: msgspec.Raw) -> None:
        """This part goes back as it came. What it showed, if it was no thought, stands before it."""
        opaque = msgspec.Raw(bytes(raw))  # a copy: the original holds the whole event
        if self._thinks:
            self._parts.append(Thinking("".join(self._run), self._provider, opaque))
            self._run.clear()
        else:
            self._close_run()
            self._parts.append(Thinking("", self._provider, opaque))

    def _show(self, blob: Blob) -> None:
        self._close_run()
        self._parts.append(Image(url=f"data:{blob.mime_type};base64,{blob.data}", media_type=blob.mime_type))

    def _call(self, call: Call, signature: str) -> ToolCallDelta:
        """A call comes whole. Its id is ours; theirs, where there is one, goes back to them."""
        place, self._calls = self._calls, self._calls + 1
        id_ = f"{self._ask.call_prefix}{self._ask.first_call + place:03d}"
        arguments = "{}" if bytes(call.args) in (b"", b"null") else bytes(call.args).decode()
        if call.id or signature:
            extras = msgspec.Raw(msgspec.json.encode(CallExtras(call.id or "", signature)))
            self._parts.append(ToolCall(id_, call.name, arguments, extras, self._provider))
        else:  # without `opaque` at all: an empty Raw that is not the default would be written, as no JSON
            self._parts.append(ToolCall(id_, call.name, arguments))
        return ToolCallDelta(index=place, id=id_, name=call.name, arguments=arguments)

    def _close_run(self) -> None:
        if self._run:
            text = "".join(self._run)
            self._parts.append(Thinking(text, self._provider) if self._thinks else Text(text))
            self._run.clear()

    def _finish(self, reason: str, message: str) -> None:
        if reason == "FINISH_REASON_UNSPECIFIED":
            return
        stop = "length" if reason == _PAUSE else _STOPS.get(reason)
        if stop is None:
            said = f": {clean(message, self._secrets)}" if message else ""
            code = "malformed" if reason in _BAD_CALLS else _FINAL.get(reason, "server_error")
            raise ModelFailure(
                f"{self._provider} broke off its answer ({reason}){said}", code=code, retryable=reason not in _FINAL
            )
        self._stop, self._pauses = stop, reason == _PAUSE

    def _counted(self, message: Message) -> Usage:
        if self._spent is None:
            return counted(self._usage, self._ask, message)
        if self._usage is None:
            return replace(self._spent, estimated=True)
        return self._spent + counted(self._usage, self._ask, message)
