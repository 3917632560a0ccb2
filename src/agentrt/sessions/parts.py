"""What ended runs said, kept in memory: a turn of a conversation must not read all earlier ones again."""

from collections import OrderedDict

import msgspec

from agentrt.events import Segment

CACHE_BYTES = 8 * 2**20
# what a part weighs beside its text, about
OVERHEAD_BYTES = 1500


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """One ended run's share of a conversation, and what it continues."""

    tenant: str = ""
    parent: str | None = None
    base_run: str | None = None
    base_length: int = 0
    segments: tuple[Segment, ...] = ()
    agent: str = ""
    agent_version: str = ""
    system: str = ""


class Parts:
    """The parts used last, up to `limit` bytes in all.

    A limit in runs would be either too small for a long conversation, every turn of which would then read all of it, or
    too large for long answers.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit, self._weight = limit, 0
        self._kept: OrderedDict[str, tuple[RunPart, int]] = OrderedDict()

    def get(self, run_id: str) -> RunPart | None:
        found = self._kept.get(run_id)
        if found is None:
            return None
        self._kept.move_to_end(run_id)
        return found[0]

    def keep(self, run_id: str, part: RunPart) -> None:
        self.forget(run_id)
        weight = _weight(part)
        self._kept[run_id] = part, weight
        self._weight += weight
        while self._weight > self._limit:
            _, (_, freed) = self._kept.popitem(last=False)
            self._weight -= freed

    def forget(self, run_id: str) -> None:
        _, freed = self._kept.pop(run_id, (None, 0))
        self._weight -= freed


def _weight(part: RunPart) -> int:
    """Bytes, about."""
    return OVERHEAD_BYTES + len(part.system) + len(msgspec.json.encode([segment.messages for segment in part.segments]))
