"""Calls that nobody answered: a run that was cancelled, or ran out of its budget, leaves them behind in its conversation."""

from collections.abc import Sequence

from agentrt.messages import Message, Text, ToolCall, ToolResult

NOT_MADE = "This call was not carried out."


def answer_all(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, each call followed by its result: providers refuse a conversation with a call left open. Pure."""
    out: list[Message] = []
    open_calls: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult):
                    open_calls.pop(part.call_id, None)
        else:
            out += _close(open_calls)
            open_calls = {call.id: call for call in message.calls}
        out.append(message)
    return (*out, *_close(open_calls))


def _close(calls: dict[str, ToolCall]) -> list[Message]:
    return [Message("tool", (ToolResult(id_, (Text(NOT_MADE),), is_error=True),)) for id_ in calls]
