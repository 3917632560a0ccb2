"""What reading an answer has in common, whatever the wire: events out of bytes, and what a cut amid one means. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol

from msgspec.structs import replace

from agentrt.messages import Message, Usage

from .client import Chunk, Done, ModelAsk
from .errors import NO_USAGE, ModelFailure
from .estimate import tokens_asked, tokens_in
from .ndjson import LineTooLong
from .sse import EventTooLarge
from .surrogates import whole_characters


class Splitter(Protocol):
    """Bytes as they are read, to events as they are whole: of server-sent events, or of lines of JSON."""

    def feed(self, piece: bytes) -> list[bytes]: ...

    def end(self) -> bytes | None: ...


class EventReader(ABC):
    """Reads one answer. Feed it what arrives; once it is `complete`, `done()` is the last chunk.

    A wire says what one event means (`_take`) and when the model has finished (`complete`); `ended`: nothing more is read;
    `moved`: the last piece held at least one event, which a comment that keeps the line warm is not.
    """

    unit = "an event"

    def __init__(self, provider: str, ask: ModelAsk, secrets: Iterable[str], splitter: Splitter) -> None:
        self._provider, self._ask, self._secrets = provider, ask, secrets
        self._splitter = splitter
        self.ended = self.moved = False

    @property
    def begun(self) -> bool:
        """Whether what came so far says that the model is at work, not only that its provider is there."""
        return True

    @property
    def told(self) -> Usage | None:
        """What the provider has counted so far; None where it has told nothing."""
        return None

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether the model said that it has finished: without that word nothing tells an answer from a part of one."""

    @abstractmethod
    def message(self) -> Message:
        """What has arrived, as a message."""

    @abstractmethod
    def done(self) -> Done:
        """The whole message; ModelFailure `truncated` where the stream ended before the model did."""

    @abstractmethod
    def _take(self, data: bytes, out: list[Chunk]) -> None:
        """Add the chunks of one event to `out`. ModelFailure for an error or what cannot be understood."""

    def feed(self, piece: bytes) -> list[Chunk]:
        """The chunks in what was read, possibly none. ModelFailure for an error event or what cannot be understood."""
        out: list[Chunk] = []
        try:
            events = self._splitter.feed(piece)
            for data in events:
                if data:  # nothing is what some send to keep a line warm
                    before = len(out)
                    try:
                        self._take(data, out)
                    except ModelFailure as failure:
                        self._take_mended(data, out, before, failure)
                if self.ended:
                    break
        except (EventTooLarge, LineTooLong):
            raise ModelFailure(f"{self._provider} sent {self.unit} without end", code="malformed") from None
        self.moved = bool(events)
        return out

    def end(self) -> list[Chunk]:
        """The body is over: what an event without its end still held."""
        data = self._splitter.end()
        if not data or self.ended:
            return []
        try:
            return self.whole(data)
        except ModelFailure as failure:
            if failure.code == "malformed":
                return []  # cut off in the middle of an event: `done` says so
            raise

    def whole(self, body: bytes) -> list[Chunk]:
        """The chunks in one JSON document, which is an event of a stream or a whole answer."""
        out: list[Chunk] = []
        try:
            self._take(body, out)
        except ModelFailure as failure:
            self._take_mended(body, out, 0, failure)
        return out

    def _take_mended(self, data: bytes, out: list[Chunk], before: int, failure: ModelFailure) -> None:
        """One event that was no good: halves of characters in it are replaced where they made it unreadable."""
        if failure.code != "malformed" or len(out) > before or (mended := whole_characters(data)) == data:
            raise failure
        self._take(mended, out)

    def taken(self, *, worked: bool) -> Usage:
        """What an answer took that broke off: as the provider counted, and at least what has arrived. Where it counted
        nothing that is an estimate: nothing at all where nothing arrived, unless it `worked` on the answer all the same."""
        arrived = tokens_in(self.message())
        if self.told is not None:
            return replace(self.told, output=max(self.told.output, arrived), estimated=True)
        return Usage(tokens_asked(self._ask), arrived, estimated=True) if worked or arrived else NO_USAGE

    def _cut_short(self) -> ModelFailure:
        why = f"{self._provider} ended the stream before the answer was complete"
        return ModelFailure(why, code="truncated", retryable=True)
