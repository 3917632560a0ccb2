"""What a server answered, as parts of a message: text stays text, bytes go to `files/` and leave a reference."""

import base64
import binascii
from typing import Any
from urllib.parse import urlsplit

import msgspec

from agentrt.files import Blobs
from agentrt.messages import File, Image, Text, ToolResult
from agentrt.tools import CallContext

ResultPart = Text | Image | File


async def to_result(call_id: str, answer: Any, blobs: Blobs, ctx: CallContext) -> ToolResult:
    """The SDK's CallToolResult, kept whole. Structured content without any other is also given as text, for the model."""
    parts = [await _part(block, blobs, ctx) for block in answer.content]
    if not parts and answer.structured_content is not None:
        parts = [Text(msgspec.json.encode(answer.structured_content).decode())]
    return ToolResult(call_id, tuple(parts), bool(answer.is_error), answer.structured_content)


def failed(call_id: str, why: str) -> ToolResult:
    """An answer that only says what went wrong."""
    return ToolResult(call_id, (Text(why),), is_error=True)


async def _part(block: Any, blobs: Blobs, ctx: CallContext) -> ResultPart:
    match block.type:
        case "text":
            return Text(block.text)
        case "image" | "audio":
            return await _stored(block.data, block.mime_type, "", blobs, ctx)
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            return Text(f"[{block.title or block.name}]({block.uri}){about}")
        case _:
            return await _resource(block.resource, blobs, ctx)


async def _resource(resource: Any, blobs: Blobs, ctx: CallContext) -> ResultPart:
    uri = str(resource.uri)
    if (text := getattr(resource, "text", None)) is not None:
        return Text(f"{uri}\n{text}")
    name = urlsplit(uri).path.rpartition("/")[2]
    return await _stored(resource.blob, resource.mime_type or "application/octet-stream", name, blobs, ctx)


async def _stored(encoded: str, media_type: str, name: str, blobs: Blobs, ctx: CallContext) -> ResultPart:
    try:
        data = base64.b64decode(encoded)
    except binascii.Error:
        return Text(f"[{media_type} that could not be decoded]")
    file = await blobs.put(ctx.who, ctx.run_id, data, media_type, name)
    if media_type.startswith("image/"):
        return Image(file=file, media_type=media_type)
    return File(file=file, name=name, media_type=media_type)
