"""Tool calls as the OpenAI dialect streams them: pieces, which some providers number, name or identify badly."""

from typing import Any

import msgspec

from agentrt.events import ToolCallDelta
from agentrt.messages import ToolCall

EXTRA = "extra_content"


class CallFunction(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallDelta(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: CallFunction | None = None
    extra_content: Any = None  # what Gemini's models want back, such as a signature


class _Slot:
    """One call being written. Pieces of its arguments wait until its name is known."""

    def __init__(self, place: int, our_id: str, their_id: str) -> None:
        self.place, self.our_id, self.their_id = place, our_id, their_id
        self.name = ""
        self.announced = False
        self.arguments: list[str] = []
        self.extra: Any = None


class CallsReader:
    """Joins pieces to calls with our ids: `prefix` and three digits from `first`, in the order in which the calls began."""

    def __init__(self, provider: str, prefix: str, first: int = 0) -> None:
        self._provider, self._prefix, self._first = provider, prefix, first
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}

    def feed(self, deltas: list[CallDelta]) -> list[ToolCallDelta]:
        """What readers are shown of these pieces."""
        return [shown for delta in deltas if (shown := self._take(delta)) is not None]

    @property
    def began(self) -> bool:
        return bool(self._slots)

    def finished(self) -> tuple[ToolCall, ...]:
        """All calls; a piece that named nothing and said nothing was none."""
        return tuple(self._call(slot) for slot in self._slots if slot.name or slot.arguments)

    def _call(self, slot: _Slot) -> ToolCall:
        arguments = "".join(slot.arguments) or "{}"
        if not slot.extra:
            return ToolCall(slot.our_id, slot.name, arguments)
        opaque = msgspec.Raw(msgspec.json.encode({EXTRA: slot.extra}))
        return ToolCall(slot.our_id, slot.name, arguments, opaque, self._provider)

    def _take(self, delta: CallDelta) -> ToolCallDelta | None:
        function = delta.function or CallFunction()
        slot = self._slot_for(delta, function.name)
        if function.name and not slot.announced:
            slot.name = function.name
        arguments = _as_text(function.arguments)
        if arguments:
            slot.arguments.append(arguments)
        if delta.extra_content:
            slot.extra = delta.extra_content
        if slot.announced:
            return ToolCallDelta(index=slot.place, arguments=arguments) if arguments else None
        if not slot.name:
            return None
        slot.announced = True
        return ToolCallDelta(index=slot.place, id=slot.our_id, name=slot.name, arguments="".join(slot.arguments))

    def _slot_for(self, delta: CallDelta, name: str | None) -> _Slot:
        slot = self._known(delta, name)
        if slot is None:
            place = len(self._slots)
            slot = _Slot(place, f"{self._prefix}{self._first + place:03d}", delta.id or "")
            self._slots.append(slot)
        elif delta.id and not slot.their_id:
            slot.their_id = delta.id
        if delta.index is not None:
            self._by_index[delta.index] = slot
        return slot

    def _known(self, delta: CallDelta, name: str | None) -> _Slot | None:
        """The call that a piece goes on with; None where it begins another."""
        if delta.index is not None:
            slot = self._by_index.get(delta.index)
            # Some providers number every parallel call 0: another id with a name is another call.
            another = slot is not None and delta.id and slot.their_id and delta.id != slot.their_id and name
            return None if another else slot
        if delta.id:
            return next((slot for slot in self._slots if slot.their_id == delta.id), None)
        # Neither number nor id: a name begins a call, anything else goes on with the last one.
        return None if name or not self._slots else self._slots[-1]


def _as_text(arguments: str | dict[str, Any] | None) -> str:
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return arguments or ""
