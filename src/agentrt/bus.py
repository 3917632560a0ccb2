"""The internal event bus: typed signals, published after the fact, delivered to bounded subscribers in other modules.

A signal says *that* something moved, never what is true now: a subscriber re-reads. A subscriber that falls behind loses
the oldest signals of its queue, so nothing grows without bound; `Subscription.missed` tells it so.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import msgspec


class Signal(msgspec.Struct, frozen=True): ...


S = TypeVar("S", bound=Signal)


class RunMoved(Signal, frozen=True):
    """Records were committed to a run; `ended` on its last."""

    run_id: str
    ended: bool = False


class ConfigChanged(Signal, frozen=True):
    """Documents of a kind (`agents`, `mcp`, `offline`) were loaded anew, or an edit was refused."""

    kind: str


class McpServerChanged(Signal, frozen=True):
    """An MCP server's state or tool list changed."""

    name: str


class ProviderTripped(Signal, frozen=True):
    """The breaker of a provider's model changed its `state`: `open`, `half_open`, `closed`."""

    provider: str
    model: str
    state: str


class SandboxesChanged(Signal, frozen=True):
    """Whether code can run here has changed."""


class SandboxDied(Signal, frozen=True):
    """A sandbox that somebody held ended without being asked to. `reason`: `oom`, `killed`, `exited`, `engine`, `full`."""

    sandbox_id: str
    pool: str
    reason: str


class Subscription(Generic[S]):
    """One reader's queue. Iterate it; it ends when the bus closes."""

    def __init__(self, capacity: int) -> None:
        self._queue: deque[S] = deque(maxlen=capacity)
        self._ready = asyncio.Event()
        self._closed = False
        self.missed = 0

    def put(self, signal: S) -> None:
        self.missed += len(self._queue) == self._queue.maxlen
        self._queue.append(signal)
        self._ready.set()

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    def pending(self) -> list[S]:
        """What has come and was not read yet; it counts as read now."""
        signals = list(self._queue)
        self._queue.clear()
        return signals

    async def take(self) -> list[S]:
        """Wait for signals; all that are there. Empty once the bus has closed and everything was read."""
        while not self._queue and not self._closed:
            self._ready.clear()
            await self._ready.wait()
        return self.pending()

    async def __aiter__(self) -> AsyncIterator[S]:
        while signals := await self.take():
            for signal in signals:
                yield signal


class Bus:
    def __init__(self) -> None:
        self._readers: dict[type[Signal], set[Subscription[Any]]] = {}

    def publish(self, signal: Signal) -> None:
        """Hand `signal` to every subscriber of its type; never blocks, never raises."""
        for reader in self._readers.get(type(signal), ()):
            reader.put(signal)

    @contextmanager
    def subscribe(self, topic: type[S], capacity: int = 256) -> Iterator[Subscription[S]]:
        """Signals of one type from now on, for the time of the block."""
        reader: Subscription[S] = Subscription(capacity)
        self._readers.setdefault(topic, set()).add(reader)
        try:
            yield reader
        finally:
            self._readers[topic].discard(reader)

    def close(self) -> None:
        """End every subscription after what it still holds."""
        for readers in self._readers.values():
            for reader in readers:
                reader.close()
