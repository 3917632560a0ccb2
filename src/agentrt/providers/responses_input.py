"""The Responses API, outward: the conversation as a list of items. Pure.

Reasoning, and items that only this API understands, go back as they came to the provider that sent them; so do its own ids,
for it refuses reasoning without the item that followed it.
"""

from typing import Any

import msgspec

from agentrt.messages import File, Image, Message, Part, Text, Thinking, ToolCall, ToolResult

from .data_urls import inline
from .errors import ModelFailure
from .openai_calls import EXTRA

Json = dict[str, Any]

_REASONING = "reasoning"
_MESSAGE = "message"


class _Item(msgspec.Struct):
    type: str = ""


_decode_item = msgspec.json.Decoder(_Item).decode


class Conversation:
    """Collects messages into `items`. `reasoning`: whether what `provider` kept of its reasoning goes back; `instructor`
    is the role of later instructions."""

    def __init__(self, provider: str, *, reasoning: bool, instructor: str) -> None:
        self._provider, self._reasoning, self._instructor = provider, reasoning, instructor
        self._their_ids: dict[str, str] = {}
        self.items: list[Any] = []

    def add(self, message: Message) -> None:
        match message.role:
            case "assistant":
                for part in message.parts:
                    self._say(part)
            case "tool":
                self.items += [self._result(part) for part in message.parts if isinstance(part, ToolResult)]
            case "user":
                self._put("user", [self._given(part) for part in message.parts if isinstance(part, Text | Image | File)])
            case _:
                self._put(self._instructor, [{"type": "input_text", "text": message.text}])

    def _put(self, role: str, content: list[Json]) -> None:
        if content:
            self.items.append({"type": _MESSAGE, "role": role, "content": content})

    def _say(self, part: Part) -> None:
        match part:
            case Text():
                self._put("assistant", [{"type": "output_text", "text": part.text}])
            case Thinking():
                if part.provider == self._provider and bytes(part.opaque):
                    self._verbatim(part.opaque)
            case ToolCall():
                self.items.append(self._call(part))
            case _:
                pass  # models send nothing else

    def _verbatim(self, kept: msgspec.Raw) -> None:
        kind = kept_kind(kept)
        if kind == _MESSAGE:
            self._label(msgspec.json.decode(kept))
        elif kind and (self._reasoning or kind != _REASONING):
            self.items.append(kept)

    def _label(self, label: Json) -> None:
        """The message that was said just now, with all that its provider said of it."""
        text = self.items.pop()["content"][0]["text"] if self._just_said() else ""
        label.setdefault("content", [{"type": "output_text", "text": text, "annotations": []}])
        if not self._reasoning:
            label.pop("id", None)  # an id leads to the reasoning that is left out
        self.items.append(label)

    def _just_said(self) -> bool:
        last = self.items[-1] if self.items else None
        return isinstance(last, dict) and last.get("role") == "assistant" and "id" not in last

    def _call(self, call: ToolCall) -> Json:
        own: Json = {}
        if bytes(call.opaque) and call.provider == self._provider:
            own = msgspec.json.decode(call.opaque)
            own.pop(EXTRA, None)
        if not self._reasoning:
            own.pop("id", None)
        their_id = own.pop("call_id", None) or call.id
        self._their_ids[call.id] = their_id
        return {"type": "function_call", "call_id": their_id, "name": call.name, "arguments": call.arguments, **own}

    def _result(self, result: ToolResult) -> Json:
        their_id = self._their_ids.get(result.call_id, result.call_id)
        return {"type": "function_call_output", "call_id": their_id, "output": self._output(result)}

    def _output(self, result: ToolResult) -> str | list[Json]:
        if all(isinstance(part, Text) for part in result.parts):
            text = result.text
            if not text and result.structured is not None:
                text = msgspec.json.encode(result.structured).decode()
            return f"Error: {text}" if result.is_error else text
        said = [{"type": "input_text", "text": "Error:"}] if result.is_error else []
        return said + [self._given(part) for part in result.parts]

    def _given(self, part: Text | Image | File) -> Json:
        match part:
            case Text():
                return {"type": "input_text", "text": part.text}
            case Image():
                return {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}
            case File():
                return self._file(part)

    def _file(self, file: File) -> Json:
        found = inline(file.data, file.media_type)
        kind = found.media_type if found else file.media_type.lower()
        if kind.startswith("image/"):
            return {"type": "input_image", "image_url": file.data, "detail": "auto"}
        if kind.startswith(("audio/", "video/")):
            raise ModelFailure(f"{self._provider} takes no files of type {kind}", code="invalid_request", status=400)
        if found is None:
            return {"type": "input_file", "file_url": file.data}
        return {"type": "input_file", "filename": file.name or "file", "file_data": file.data}


def kept_kind(opaque: msgspec.Raw) -> str:
    """The type of an item that was kept as it came; empty for what chat completions kept."""
    return _decode_item(opaque).type


def carries_reasoning(messages: tuple[Message, ...], provider: str) -> bool:
    """Whether reasoning that `provider` wants back is among the messages."""
    parts = (part for message in messages for part in message.parts if isinstance(part, Thinking))
    return any(part.provider == provider and bytes(part.opaque) and kept_kind(part.opaque) == _REASONING for part in parts)
