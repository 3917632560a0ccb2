"""What happens to a run, as chunks of a chat completion. Pure, and hot: a text delta costs well under a microsecond."""

from collections.abc import Iterable

from agentrt.events import (
    ChildSpent,
    Delta,
    FinalText,
    ModelCompleted,
    ModelFailed,
    ModelRetrying,
    ModelStarted,
    ReasoningDelta,
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    Spending,
    TextDelta,
    TextDiscarded,
    ToolCallDelta,
)
from agentrt.messages import Message, ToolCall, Usage, gap
from agentrt.runs import event_object

from .text import encode, line, quoted

DONE = b"data: [DONE]\n\n"


class Frames:
    """Turns batches of a run's records and deltas into the bytes of its event stream.

    Shown are the text and reasoning of every model call, and the calls to the caller's own functions; those to the agent's
    tools stay inside. With `events`, every record is told in a chunk of its own beside them. `end` is set by the last record;
    `broken` once what was sent has become void: it cannot be taken back, so nothing can follow.
    """

    def __init__(
        self,
        *,
        answer_id: str,
        created: int,
        model: str,
        caller_tools: Iterable[str] = (),
        usage: bool = False,
        events: bool = False,
    ) -> None:
        head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":['
        self._head = head % (quoted(answer_id), created, quoted(model))
        self._delta = self._head + b'{"index":0,"delta":'
        self._content = self._delta + b'{"content":'
        self._after = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._close = b',"finish_reason":null}]' + self._after
        self._tail = b"}" + self._close
        self._caller_tools = frozenset(caller_tools)
        self._wants_usage, self._wants_events = usage, events
        self._indices: dict[int, int] = {}
        self._without_arguments: set[int] = set()  # calls of which nothing but the name was sent yet
        self._sent_calls: list[str] = []
        self._shown: list[str] = []
        self._began = False
        self._fresh = True  # no text of the model call under way was shown yet
        self._calls_before = 0
        self.broken = False
        self.why = ""  # the newest attempt failed
        self.spent = Spending()
        self.end: RunCompleted | RunFailed | RunCancelled | None = None

    def render(self, batch: list[Record | Delta]) -> bytes:
        """The chunks for these, possibly none. What ends the stream comes from `finish` or `fail`."""
        out: list[bytes] = []
        content, tail = self._content, self._tail
        for item in batch:
            if self.broken:
                break
            event = item.event
            if event.__class__ is TextDelta:
                text: str = event.text  # type: ignore[union-attr]
                if not text:
                    continue
                if self._fresh:
                    text = self._opening(text, out)
                self._shown.append(text)
                out += (content, quoted(text), tail)
            elif item.__class__ is Delta:
                self._live(event, out)  # type: ignore[arg-type]
            else:
                self._record(item, out)  # type: ignore[arg-type]
        return b"".join(out)

    def finish(self, extra: dict[str, object]) -> bytes:
        """The last chunks of a run that completed; `extra` goes beside the usage as `agentrt`."""
        assert isinstance(self.end, RunCompleted), "only a completed run has an answer"
        role = b"" if self._began else self._role(b'""')
        stop = self._delta + b'{},"finish_reason":%b}]' % quoted(self.end.finish_reason) + self._after
        if not self._wants_usage:
            return role + stop + DONE
        totals = self._head + b'],"usage":%b,"agentrt":%b}\n\n' % (encode(usage_of(self.spent.usage)), encode(extra))
        return role + stop + totals + DONE

    @staticmethod
    def fail(error: bytes) -> bytes:
        """The last event of a stream that broke off; `error` is the whole error body. No `[DONE]`: it is not done."""
        return b"data: %b\n\n" % error

    def _opening(self, text: str, out: list[bytes]) -> str:
        """The first text of a model call, set apart from what an earlier one said."""
        if not self._began:
            out.append(self._role(b'""'))
        self._fresh = False
        return gap(self._shown[-1] if self._shown else "", text) + text

    def _role(self, content: bytes) -> bytes:
        self._began = True
        return self._delta + b'{"role":"assistant","content":%b' % content + self._tail

    def _live(self, event: ReasoningDelta | ToolCallDelta, out: list[bytes]) -> None:
        if isinstance(event, ReasoningDelta):
            if not self._began:
                out.append(self._role(b'""'))
            out += (self._delta, b'{"reasoning_content":', quoted(event.text), self._tail)
        elif event.name:
            if event.name in self._caller_tools:
                self._indices[event.index] = len(self._sent_calls)
                self._call(ToolCall(event.id, event.name, event.arguments), out)
        elif (index := self._indices.get(event.index)) is not None and event.arguments:
            self._arguments(index, event.arguments, out)

    def _call(self, call: ToolCall, out: list[bytes]) -> None:
        """The first piece of a call to one of the caller's functions."""
        if not self._began:
            out.append(self._role(b"null"))
        index = len(self._sent_calls)
        self._sent_calls.append(call.id)
        if not call.arguments:
            self._without_arguments.add(index)
        function = b'{"name":%b,"arguments":%b}' % (quoted(call.name), quoted(call.arguments))
        piece = b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":%b}]' % (index, quoted(call.id), function)
        out += (self._delta, piece, self._tail)

    def _arguments(self, index: int, said: str, out: list[bytes]) -> None:
        self._without_arguments.discard(index)
        piece = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (index, quoted(said))
        out += (self._delta, piece, self._tail)

    def _record(self, record: Record, out: list[bytes]) -> None:
        event = record.event
        match event:
            case ModelStarted():
                self._indices.clear()
                self._fresh = True
                self._calls_before = len(self._sent_calls)
            case TextDiscarded():
                self._indices.clear()
                self.broken = not self._fresh or len(self._sent_calls) > self._calls_before
            case ModelCompleted(message=message):
                self.spent = self.spent.plus(event)
                self._complete_calls(message, out)
            case ModelFailed(message=why) | ModelRetrying(message=why):
                self.spent, self.why = self.spent.plus(event), why
            case ChildSpent():
                self.spent = self.spent.plus(event)
            case FinalText(text=text):
                self._rest(text, out)
            case RunCompleted() | RunFailed() | RunCancelled():
                self.end = event
            case _:
                pass
        if self._wants_events:
            out.append(self._told(record))

    def _complete_calls(self, message: Message, out: list[bytes]) -> None:
        """What of the calls was not streamed: all of one that came late, the `{}` of one without arguments."""
        for call in message.calls:
            if call.name not in self._caller_tools:
                continue
            if call.id not in self._sent_calls:
                self._call(call, out)
            elif (index := self._sent_calls.index(call.id)) in self._without_arguments:
                self._arguments(index, call.arguments, out)

    def _rest(self, text: str, out: list[bytes]) -> None:
        """What of the run's answer no model said aloud: the result with which an autonomous agent ends its task."""
        if not "".join(self._shown).endswith(text):
            out += (self._content, quoted(self._opening(text, out)), self._tail)

    def _told(self, record: Record) -> bytes:
        return self._head + b'],"agentrt":%b' % line(event_object(record)) + self._after


def usage_of(usage: Usage) -> dict[str, object]:
    """Tokens by the names of OpenAI."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": usage.audio_input,
            "image_tokens": usage.image_input,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output},
    }
