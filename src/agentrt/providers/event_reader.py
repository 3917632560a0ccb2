"""What reading an answer has in common, whatever the wire: events out of bytes, and what a cut amid one means. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Protocol

from .client import Chunk, ModelAsk
from .errors import ModelFailure
from .ndjson import LineTooLong
from .sse import EventTooLarge


class Splitter(Protocol):
    """Bytes as they are read, to events as they are whole: of server-sent events, or of lines of JSON."""

    def feed(self, piece: bytes) -> Iterable[bytes] | Iterator[bytes]: ...

    def end(self) -> bytes | None: ...


class EventReader(ABC):
    """Reads one answer. Feed it what arrives; once it is `complete`, `done()` is the last chunk.

    A wire says what one event means (`_take`) and when the model has finished (`complete`); `ended`: nothing more is read.
    """

    unit = "an event"

    def __init__(self, provider: str, ask: ModelAsk, secrets: Iterable[str], splitter: Splitter) -> None:
        self._provider, self._ask, self._secrets = provider, ask, secrets
        self._splitter = splitter
        self.ended = False

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether the model said that it has finished: without that word nothing tells an answer from a part of one."""

    @abstractmethod
    def _take(self, data: bytes, out: list[Chunk]) -> None:
        """Add the chunks of one event to `out`. ModelFailure for an error or what cannot be understood."""

    def feed(self, piece: bytes) -> list[Chunk]:
        """The chunks in what was read, possibly none. ModelFailure for an error event or what cannot be understood."""
        out: list[Chunk] = []
        try:
            for data in self._splitter.feed(piece):
                self._take(data, out)
                if self.ended:
                    break
        except (EventTooLarge, LineTooLong):
            raise ModelFailure(f"{self._provider} sent {self.unit} without end", code="malformed") from None
        return out

    def end(self) -> list[Chunk]:
        """The body is over: what an event without its end still held."""
        data = self._splitter.end()
        if data is None or self.ended:
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
        self._take(body, out)
        return out

    def _cut_short(self) -> ModelFailure:
        why = f"{self._provider} ended the stream before the answer was complete"
        return ModelFailure(why, code="truncated", retryable=True)
