"""The one neutral vocabulary of a conversation: what every provider, tool and store speaks between the edges."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Text(msgspec.Struct, frozen=True, tag="text", omit_defaults=True):
    text: str


class Image(msgspec.Struct, frozen=True, tag="image", omit_defaults=True):
    """An image by address (`url`: http, https or data) or by reference to a stored blob (`file`: its id in `files/`)."""

    url: str = ""
    file: str = ""
    media_type: str = ""
    detail: Literal["auto", "low", "high", "original", ""] = ""

    @property
    def away(self) -> bool:
        """Whether `url` is an address on the web, not the image itself."""
        return self.url[:4].lower() == "http"


class File(msgspec.Struct, frozen=True, tag="file", omit_defaults=True):
    """A document or sound: `data` as a data URL, or `file`, the id of a stored blob."""

    data: str = ""
    file: str = ""
    name: str = ""
    media_type: str = ""


class Thinking(msgspec.Struct, frozen=True, tag="thinking", omit_defaults=True):
    """A model's reasoning. `opaque` is what its provider wants back verbatim, and only that provider gets it."""

    text: str = ""
    provider: str = ""
    opaque: msgspec.Raw = msgspec.Raw(b"")


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """A call as the model made it: `arguments` is its JSON text, byte for byte, which may be malformed. `opaque` is what
    `provider` wants back verbatim with it, and only that provider gets it."""

    id: str
    name: str
    arguments: str = "{}"
    opaque: msgspec.Raw = msgspec.Raw(b"")
    provider: str = ""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result", omit_defaults=True):
    """What a call gave: text, images and files for the model, `structured` content for programs."""

    call_id: str
    parts: tuple["Text | Image | File", ...] = ()
    is_error: bool = False
    structured: Any = None

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks."""
        return "\n".join(p.text for p in self.parts if isinstance(p, Text))


Part = Text | Image | File | Thinking | ToolCall | ToolResult


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    role: Role
    parts: tuple[Part, ...] = ()
    name: str = ""

    @property
    def text(self) -> str:
        """The visible text, joined without separator as the model streamed it."""
        return "".join([p.text for p in self.parts if isinstance(p, Text)])

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple([p for p in self.parts if isinstance(p, ToolCall)])


def has_attachments(messages: Iterable[Message]) -> bool:
    """Whether there is anything but words, so that it matters who reads them."""
    for message in messages:
        for part in message.parts:
            if type(part) is Image or type(part) is File:
                return True
            if type(part) is ToolResult and any(type(piece) is not Text for piece in part.parts):
                return True
    return False


def says(role: Role, text: str) -> Message:
    """A message of one text part."""
    return Message(role, (Text(text),))


def gap(before: str, after: str) -> str:
    """What stands between two texts of one answer that a tool's work parted: a blank line, unless white space is there."""
    return "" if not before or not after or before[-1].isspace() or after[0].isspace() else "\n\n"
