"""Tool calls as Ollama sends them: whole, in one piece, mostly without ids. Pure."""

import msgspec

from agentrt.events import ToolCallDelta
from agentrt.messages import ToolCall


class Called(msgspec.Struct, gc=False):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"")


class Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: Called | None = None


class CallExtras(msgspec.Struct, omit_defaults=True):
    """What a call carries beside its name and arguments, kept in `ToolCall.opaque`."""

    id: str = ""


decode_extras = msgspec.json.Decoder(CallExtras).decode


class CallsReader:
    """Gives calls our ids: `prefix` and three digits from `first`, in order. Theirs, where there is one, is kept for them."""

    def __init__(self, provider: str, prefix: str, first: int = 0) -> None:
        self._provider, self._prefix, self._first = provider, prefix, first
        self.calls: list[ToolCall] = []

    def take(self, call: Call) -> ToolCallDelta:
        """What readers are shown of this call."""
        function = call.function or Called()
        place = len(self.calls)
        id_ = f"{self._prefix}{self._first + place:03d}"
        arguments = _as_text(function.arguments)
        if call.id:
            opaque = msgspec.Raw(msgspec.json.encode(CallExtras(call.id)))
            self.calls.append(ToolCall(id_, function.name, arguments, opaque, self._provider))
        else:
            self.calls.append(ToolCall(id_, function.name, arguments))
        return ToolCallDelta(index=place, id=id_, name=function.name, arguments=arguments)


def _as_text(arguments: msgspec.Raw) -> str:
    """The object as it came; some versions and proxies send its text instead."""
    text = bytes(arguments).decode()
    if text.startswith('"'):
        text = msgspec.json.decode(text, type=str)
    return "{}" if text in ("", "null") else text
