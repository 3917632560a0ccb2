"""What a tool or an agent answers to a caller of `/mcp`, before it is put into the protocol's words."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from agentrt.messages import File, Image, Text
from agentrt.tools import Artifact, Output

Emit = Callable[[Output | Artifact], Awaitable[None]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`meta` becomes the result's `_meta`: among it the run that recorded the call."""

    parts: tuple[Text | Image | File, ...]
    structured: dict[str, Any] | None = None
    is_error: bool = False
    meta: dict[str, Any] = {}


def said(text: str, *, meta: dict[str, Any] | None = None) -> Answer:
    """An answer that only says what went wrong."""
    return Answer(parts=(Text(text),), is_error=True, meta=meta or {})
