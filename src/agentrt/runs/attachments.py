"""Bytes on their way in and out: data URLs become stored files, and stored files data URLs for a provider."""

import base64
import binascii
from collections.abc import Sequence

from msgspec.structs import replace

from agentrt.files import Blobs
from agentrt.kernel import Invalid, NotFound, Principal
from agentrt.messages import File, Image, Message, Part, Text, ToolResult


async def keep_attachments(blobs: Blobs, who: Principal, run_id: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with every data URL stored and referred to, so that events stay small. Invalid for a bad one."""
    if not any(_has_data(part) for m in messages for part in m.parts):
        return messages
    out = []
    for message in messages:
        parts = [await _keep(blobs, who, run_id, part) for part in message.parts]
        out.append(replace(message, parts=tuple(parts)))
    return tuple(out)


async def inline_files(blobs: Blobs, who: Principal, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with every stored file put in as a data URL. One whose bytes are gone becomes a note."""
    if not any(_has_file(part) for m in messages for part in m.parts):
        return tuple(messages)
    out = []
    for message in messages:
        out.append(replace(message, parts=tuple([await _inline(blobs, who, part) for part in message.parts])))
    return tuple(out)


def _has_data(part: Part) -> bool:
    return (isinstance(part, Image) and part.url.startswith("data:")) or (isinstance(part, File) and bool(part.data))


def _has_file(part: Part) -> bool:
    if isinstance(part, ToolResult):
        return any(_has_file(inner) for inner in part.parts)
    return isinstance(part, Image | File) and bool(part.file)


async def _keep(blobs: Blobs, who: Principal, run_id: str, part: Part) -> Part:
    if not _has_data(part):
        return part
    assert isinstance(part, Image | File)
    url = part.url if isinstance(part, Image) else part.data
    head, _, body = url.partition(",")
    media_type = head.removeprefix("data:").split(";")[0] or part.media_type or "application/octet-stream"
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("a data URL is not valid base64", param="messages", code="bad_data_url") from None
    file_id = await blobs.put(who, run_id, data, media_type, getattr(part, "name", ""))
    if isinstance(part, Image):
        return replace(part, url="", file=file_id, media_type=media_type)
    return replace(part, data="", file=file_id, media_type=media_type)


async def _inline(blobs: Blobs, who: Principal, part: Part) -> Part:
    if isinstance(part, ToolResult):
        if not _has_file(part):
            return part
        inner = [await _inline(blobs, who, p) for p in part.parts]
        return replace(part, parts=tuple(p for p in inner if isinstance(p, Text | Image | File)))
    if not (isinstance(part, Image | File) and part.file):
        return part
    try:
        blob, data = await blobs.get(who, part.file)
    except NotFound:
        return Text(f"[the file {part.file} is gone]")
    url = f"data:{blob.media_type};base64,{base64.b64encode(data).decode()}"
    return replace(part, url=url, file="") if isinstance(part, Image) else replace(part, data=url, file="")
