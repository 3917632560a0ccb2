"""Which messages of a request are new to a conversation, and where they belong. Pure."""

from collections.abc import Sequence

import msgspec

from agentrt.events import Segment
from agentrt.messages import File, Image, Message, Text, ToolCall, ToolResult


class Placed(msgspec.Struct, frozen=True):
    """`new` stands behind the first `base_length` messages of the transcript."""

    base_length: int
    new: tuple[Message, ...]


def place(segments: Sequence[Segment], request: Sequence[Message]) -> Placed:
    """Skip the longest common prefix of request and conversation.

    The rest is appended, or starts a branch where the conversation goes on differently. A request that holds only new
    messages (no answer of the model among them) is appended whole, save for system messages that lead both.
    """
    common = _common_prefix(segments, request)
    if any(m.role == "assistant" for m in request):
        if common == len(request):  # all is known: the newest message is to be answered once more
            common -= 1
        return Placed(_length(segments[:common]), tuple(request[common:]))
    leading = 0
    while leading < common and request[leading].role in ("system", "developer"):
        leading += 1
    if leading == len(request):
        leading -= 1
    return Placed(_length(segments), tuple(request[leading:]))


def _common_prefix(segments: Sequence[Segment], request: Sequence[Message]) -> int:
    count = 0
    for segment, message in zip(segments, request, strict=False):
        # most clients send back just what they got, which is cheaper to see
        if segment.shown != message and _essence(segment.shown) != _essence(message):
            break
        count += 1
    return count


def _length(segments: Sequence[Segment]) -> int:
    return sum(len(segment.messages) for segment in segments)


def _essence(message: Message) -> tuple[object, ...]:
    """What must be equal for two messages to be the same: clients trim text and drop what they do not know."""
    role = "system" if message.role == "developer" else message.role
    text, rest = [], []
    for part in message.parts:
        match part:
            case Text(text=piece):
                text.append(piece)
            case Image(url=url, file=file) | File(data=url, file=file):
                rest.append(url or file)
            case ToolCall(id=id_):
                rest.append(id_)
            case ToolResult(call_id=call_id):
                rest.append(call_id)
                text.append(part.text)
            case _:
                pass
    return (role, "".join(text).strip(), *rest)
