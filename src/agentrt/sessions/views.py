from typing import Any

import msgspec

from agentrt.messages import File, Image, Part, Role, Text, Thinking, ToolCall, ToolResult


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation: `head_run` is its newest run. Times are microseconds since the epoch."""

    id: str
    head_run: str | None
    metadata: dict[str, Any]
    created_at: int
    updated_at: int


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session as HTTP shows it."""

    id: str
    object: str = "session"
    head_run: str | None = None
    metadata: dict[str, Any] = {}
    created_at: str
    updated_at: str


class ShownThinking(msgspec.Struct, frozen=True, tag="thinking"):
    text: str


class ShownCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A tool call; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


ShownPart = Text | Image | File | ToolResult | ShownThinking | ShownCall


def shown(part: Part) -> ShownPart:
    """The part without what only its provider can read."""
    match part:
        case Thinking(text=text):
            return ShownThinking(text)
        case ToolCall(id=id_, name=name, arguments=arguments):
            return ShownCall(id_, name, arguments)
        case _:
            return part


class SessionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation as the caller knows it."""

    object: str = "session.message"
    run_id: str
    role: Role
    text: str
    parts: tuple[ShownPart, ...]


class CreateSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /sessions`. `id` is one of the caller's own choosing."""

    id: str | None = None
    metadata: dict[str, Any] = {}


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[SessionView]
    has_more: bool
    first_id: str | None
    last_id: str | None


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """All of them. Messages have no ids."""

    object: str = "list"
    data: list[SessionMessage]
    has_more: bool = False
    first_id: None = None
    last_id: None = None
