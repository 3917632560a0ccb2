"""The Messages API, outward: the conversation as turns of content blocks. Pure.

Thinking, and blocks that only Anthropic understands, go back as they came, byte for byte, to the provider that sent them;
so do its own ids of tool calls, for newer models verify that nothing before their thinking has changed.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult

from .call_arguments import as_object
from .data_urls import Inline, inline
from .errors import ModelFailure

Json = dict[str, Any]

_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")
_THINKING = ("thinking", "redacted_thinking")
_TEXTUAL = ("application/json", "application/xml", "application/yaml")


class _Block(msgspec.Struct):
    type: str = ""


_decode_block = msgspec.json.Decoder(_Block).decode


class Turns:
    """Collects messages into `turns`, which begin with the user's and alternate. `thinking`: whether it goes back."""

    def __init__(self, provider: str, *, thinking: bool = True) -> None:
        self._provider, self._thinking = provider, thinking
        self._their_ids: dict[str, str] = {}
        self.turns: list[Json] = []

    def add(self, message: Message) -> None:
        match message.role:
            case "assistant":
                self._put("assistant", self._said(message))
            case "tool":
                self._put("user", [self._result(part) for part in message.parts if isinstance(part, ToolResult)])
            case "user":
                self._put("user", [block for part in message.parts for block in self._given(part)])
            case _:
                # A later instruction has no role of its own on most models.
                self._put("user", _text(f"<system>\n{message.text}\n</system>") if message.text.strip() else [])

    def end(self) -> list[Json]:
        """The turns as they can be sent."""
        if self.turns and self.turns[-1]["role"] == "assistant":
            self._end_tidily(self.turns[-1]["content"])
        if not self.turns:
            self._put("user", _text("(The conversation begins.)"))
        return self.turns

    def _put(self, role: str, blocks: list[Any]) -> None:
        if not blocks:
            return
        if not self.turns and role == "assistant":
            self._put("user", _text("(The conversation begins.)"))
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": blocks})
            return
        content: list[Any] = self.turns[-1]["content"]
        content += blocks
        if role == "user":
            content.sort(key=lambda block: block["type"] != "tool_result")  # results come first, or the API refuses them

    def _end_tidily(self, content: list[Any]) -> None:
        """White space at the very end of an answer to go on with is refused."""
        last = content[-1]
        if isinstance(last, dict) and last["type"] == "text":
            last["text"] = last["text"].rstrip()

    def _said(self, message: Message) -> list[Any]:
        blocks: list[Any] = []
        for part in message.parts:
            match part:
                case Text():
                    blocks += _text(part.text)
                case Thinking():
                    self._verbatim(part, blocks)
                case ToolCall():
                    blocks.append(self._call(part))
                case _:
                    pass  # models send nothing else, and an image in an assistant's turn is refused
        return blocks

    def _verbatim(self, part: Thinking, blocks: list[Any]) -> None:
        if part.provider != self._provider or not (kind := kept_kind(part.opaque)):
            return
        if kind in _THINKING and not self._thinking:
            return
        if kind == "text" and blocks and isinstance(blocks[-1], dict) and blocks[-1]["type"] == "text":
            blocks.pop()  # the same text without its citations
        blocks.append(part.opaque)

    def _call(self, call: ToolCall) -> Json:
        own: Json = {}
        if bytes(call.opaque) and call.provider == self._provider:
            own = msgspec.json.decode(call.opaque)
        their_id = own.pop("id", None) or _NO_ID.sub("_", call.id)
        self._their_ids[call.id] = their_id
        return {"type": "tool_use", "id": their_id, "name": call.name, "input": as_object(call.arguments), **own}

    def _result(self, result: ToolResult) -> Json:
        block: Json = {
            "type": "tool_result",
            "tool_use_id": self._their_ids.get(result.call_id) or _NO_ID.sub("_", result.call_id),
        }
        content = list(_result_content(result))
        if content:
            block["content"] = content
        if result.is_error:
            block["is_error"] = True
        return block

    def _given(self, part: Any) -> list[Json]:
        match part:
            case Text():
                return _text(part.text)
            case Image():
                return [_image(part)]
            case File():
                if (block := _document(part)) is None:
                    raise ModelFailure(
                        f"{self._provider} takes no files of type {_kind(part)}", code="invalid_request", status=400
                    )
                return [block]
            case _:
                return []


def kept_kind(opaque: msgspec.Raw) -> str:
    """The type of a block that was kept as it came; empty where nothing was."""
    return _decode_block(opaque).type if bytes(opaque) else ""


def is_thinking(block: Any) -> bool:
    """Whether a block of a turn is thinking, which is sent only as it was kept."""
    return isinstance(block, msgspec.Raw) and kept_kind(block) in _THINKING


def _text(text: str) -> list[Json]:
    """No block at all for nothing but white space: the API refuses it."""
    return [{"type": "text", "text": text}] if text and not text.isspace() else []


def _result_content(result: ToolResult) -> Iterator[Json]:
    for part in result.parts:
        if isinstance(part, Text):
            yield from _text(part.text)
        elif result.is_error:
            yield from _text(f"(with {_kind(part)})")  # a failed result may hold nothing but text
        elif isinstance(part, Image):
            yield _image(part)
        else:
            yield _document(part) or {"type": "text", "text": f"(a file of type {_kind(part)}, which this model cannot read)"}
    if not result.parts and result.structured is not None:
        yield {"type": "text", "text": msgspec.json.encode(result.structured).decode()}


def _image(image: Image) -> Json:
    if (found := inline(image.url, image.media_type)) is None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    media_type = "image/jpeg" if found.media_type == "image/jpg" else found.media_type
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": found.base64}}


def _document(file: File) -> Json | None:
    """A file as the API takes it: as a document or an image; None where it takes none of its type."""
    kind, found = _kind(file), inline(file.data, file.media_type)
    if kind.startswith("image/"):
        return _image(Image(url=file.data, media_type=kind))
    source: Json
    if kind == "application/pdf":
        given = {"type": "url", "url": file.data}
        source = given if found is None else {"type": "base64", "media_type": kind, "data": found.base64}
    elif found is not None and (kind.startswith("text/") or kind in _TEXTUAL):
        source = {"type": "text", "media_type": "text/plain", "data": _as_text(found)}
    else:
        return None
    return {"type": "document", "source": source} | ({"title": file.name} if file.name else {})


def _kind(part: Image | File) -> str:
    place = part.data if isinstance(part, File) else part.url
    if (found := inline(place, part.media_type)) is not None:
        return found.media_type
    return part.media_type.lower() or ("application/pdf" if isinstance(part, File) else "image")


def _as_text(found: Inline) -> str:
    try:
        return found.bytes.decode(errors="replace")
    except ValueError as exc:
        raise ModelFailure("the data of a text file are not base64", code="invalid_request", status=400) from exc
