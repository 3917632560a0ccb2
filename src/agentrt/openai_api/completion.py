"""A whole run as one chat completion. Pure."""

from collections.abc import Iterable

from agentrt.events import (
    ChildSpent,
    Delta,
    FinalText,
    ModelCompleted,
    ModelFailed,
    ModelRetrying,
    ModelStarted,
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    Spending,
    ToolCompleted,
    ToolStarted,
)
from agentrt.messages import Thinking, ToolCall, gap

from .frames import usage_of
from .text import encode, quoted

_UNSEEN = frozenset({RunStarted, ModelStarted, ToolStarted, ToolCompleted})


class Collector:
    """Reads a run to its end and keeps what the caller may see of it."""

    def __init__(self, caller_tools: Iterable[str] = ()) -> None:
        self._caller_tools = frozenset(caller_tools)
        self._reasoning: list[str] = []
        self._text = ""
        self._calls: tuple[ToolCall, ...] = ()
        self.spent = Spending()
        self.end: RunCompleted | RunFailed | RunCancelled | None = None

    def see(self, batch: list[Record | Delta]) -> None:
        for item in batch:
            if isinstance(item, Record):
                self._see(item)

    def _see(self, record: Record) -> None:
        if type(record.event) in _UNSEEN:
            return
        match record.event:  # what most runs have comes first: each case that does not fit has its price
            case FinalText(text=text):
                if not self._text.endswith(text):  # the result that ended an autonomous task
                    self._say(text)
            case ModelCompleted(message=message) as event:
                self.spent = self.spent.plus(event)
                self._say(message.text)
                for part in message.parts:
                    if isinstance(part, Thinking) and part.text:
                        self._reasoning.append(part.text)
                    elif isinstance(part, ToolCall) and part.name in self._caller_tools:
                        self._calls += (part,)
            case RunCompleted() | RunFailed() | RunCancelled() as end:
                self.end = end
            case ModelFailed() | ModelRetrying() | ChildSpent() as event:
                self.spent = self.spent.plus(event)
            case _:
                pass

    def _say(self, text: str) -> None:
        self._text += gap(self._text, text) + text

    def body(self, *, answer_id: str, created: int, model: str) -> bytes:
        """The `chat.completion` of a run that completed."""
        assert isinstance(self.end, RunCompleted), "only a completed run has an answer"
        return b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[%b],"usage":%b}' % (
            quoted(answer_id),
            created,
            quoted(model),
            b'{"index":0,"message":%b,"logprobs":null,"finish_reason":%b}' % (self._message(), quoted(self.end.finish_reason)),
            encode(usage_of(self.spent.usage)),
        )

    def _message(self) -> bytes:
        content = quoted(self._text) if self._text or not self._calls else b"null"
        out = [b'{"role":"assistant","content":%b,"refusal":null' % content]
        if self._reasoning:
            out.append(b',"reasoning_content":%b' % quoted("".join(self._reasoning)))
        if self._calls:
            calls = (
                b'{"id":%b,"type":"function","function":{"name":%b,"arguments":%b}}'
                % (quoted(call.id), quoted(call.name), quoted(call.arguments))
                for call in self._calls
            )
            out.append(b',"tool_calls":[%b]' % b",".join(calls))
        return b"".join(out) + b"}"
