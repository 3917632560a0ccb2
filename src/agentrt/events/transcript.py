"""The conversation that a run's events spell out. Pure; the engine and the sessions read it the same way."""

import msgspec

from agentrt.messages import Message, Text, ToolResult, gap

from . import events as e


class Segment(msgspec.Struct, frozen=True):
    """One message as the caller knows it, and the messages of the transcript that stand for it."""

    shown: Message
    messages: tuple[Message, ...]


class Transcript(msgspec.Struct, frozen=True):
    """A run's own part of a conversation: its input, then what model and tools said, results in the order of the calls."""

    input: tuple[Message, ...] = ()
    context: str = ""
    produced: tuple[Message, ...] = ()
    ended: bool = False

    def apply(self, event: "e.StoredEvent") -> "Transcript":
        """The transcript after one more event."""
        match event:
            case e.RunQueued(input=messages):
                return Transcript(messages)
            case e.RunStarted(input=messages, context=context, only=only):
                asked = () if only is None else (Message("assistant", (only.call,)),)
                return Transcript(messages, context, asked)
            case e.ModelCompleted(message=message) | e.MessageAdded(message=message):
                return msgspec.structs.replace(self, produced=(*self.produced, message))
            case e.ToolCompleted(result=result) | e.ToolFailed(result=result):
                return msgspec.structs.replace(self, produced=_insert(self.produced, result))
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                return msgspec.structs.replace(self, ended=True)
            case _:
                return self

    @property
    def new_messages(self) -> tuple[Message, ...]:
        """The run's input as the model reads it: the context stands right before the newest message."""
        if not self.context or not self.input:
            return self.input
        return (*self.input[:-1], Message("system", (Text(self.context),)), self.input[-1])

    @property
    def messages(self) -> tuple[Message, ...]:
        return (*self.new_messages, *self.produced)

    def segments(self, caller_tools: frozenset[str]) -> list[Segment]:
        """The same, as the caller saw it: own tool loops are one assistant message with the caller's calls only."""
        out = [Segment(m, (m,)) for m in self.input]
        if self.context and out:
            out[-1] = Segment(self.input[-1], self.new_messages[-2:])
        if self.produced:
            text = ""
            for message in self.produced:
                if message.role == "assistant":
                    text += gap(text, message.text) + message.text
            calls = tuple(c for m in self.produced for c in m.calls if c.name in caller_tools)
            shown = Message("assistant", (*((Text(text),) if text else ()), *calls))
            out.append(Segment(shown, self.produced))
        return out


def _insert(produced: tuple[Message, ...], result: ToolResult) -> tuple[Message, ...]:
    """`result` after its call, before the results of later calls of the same message."""
    at = next((i for i in reversed(range(len(produced))) if any(c.id == result.call_id for c in produced[i].calls)), -1)
    order = [c.id for c in produced[at].calls] if at >= 0 else []
    place = at + 1
    while place < len(produced) and produced[place].role == "tool":
        other = produced[place].parts[0]
        assert isinstance(other, ToolResult)
        if order.index(other.call_id) > order.index(result.call_id):
            break
        place += 1
    return (*produced[:place], Message("tool", (result,)), *produced[place:])
