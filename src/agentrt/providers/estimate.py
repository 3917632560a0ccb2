"""Tokens by rule of thumb, for providers that report none and for the offline model: four UTF-8 bytes each."""

from collections.abc import Iterable

import msgspec

from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, Usage

from .client import ModelAsk

# What an image of ordinary size is billed at by most providers, within a factor of two.
_IMAGE = 768


def tokens_of(text: str) -> int:
    return (len(text.encode(errors="replace")) + 3) // 4


def tokens_asked(ask: ModelAsk) -> int:
    """What the whole request amounts to."""
    tools = sum(tokens_of(tool.id + tool.description) + len(msgspec.json.encode(tool.schema)) // 4 for tool in ask.tools)
    own = sum(len(msgspec.json.encode(tool)) // 4 for tool in ask.caller_tools)
    return sum(map(tokens_of, ask.system)) + sum(map(tokens_in, ask.messages)) + tools + own


def used_at_least(ask: ModelAsk, text: str) -> Usage:
    """What an answer took that broke off after `text`."""
    return Usage(tokens_asked(ask), tokens_of(text), estimated=True)


def tokens_in(message: Message) -> int:
    return sum(map(_of_part, message.parts))


def _of_part(part: Text | Image | File | Thinking | ToolCall | ToolResult) -> int:
    match part:
        case Text() | Thinking():
            return tokens_of(part.text)
        case ToolCall():
            return tokens_of(part.name + part.arguments)
        case ToolResult():
            return _of_parts(part.parts)
        case Image() | File():
            return _IMAGE


def _of_parts(parts: Iterable[Text | Image | File]) -> int:
    return sum(map(_of_part, parts))
