"""Answers and tools in the types of the MCP SDK. Imported once somebody speaks MCP to us, as `endpoint` is."""

import base64
from collections.abc import Sequence
from typing import Any

import mcp_types as types

from agentrt.files import Blobs
from agentrt.kernel import NotFound, Principal
from agentrt.messages import File, Image, Text
from agentrt.tools import ToolDef

from .answer import Answer

MOST_INLINE = 8 * 1024 * 1024


async def result_of(answer: Answer, who: Principal, blobs: Blobs) -> types.CallToolResult:
    """Images and sounds go along; other files are named, with the address of their bytes."""
    content = [await _block(part, who, blobs) for part in answer.parts]
    return types.CallToolResult(
        content=content, structured_content=answer.structured, is_error=answer.is_error, _meta=answer.meta or None
    )


async def _block(part: Text | Image | File, who: Principal, blobs: Blobs) -> types.ContentBlock:
    match part:
        case Text(text=text):
            return types.TextContent(text=text)
        case Image(file="", url=url):
            return types.TextContent(text=f"[image: {url}]")
        case _:
            return await _stored(part.file, who, blobs)


async def _stored(file_id: str, who: Principal, blobs: Blobs) -> types.ContentBlock:
    try:
        blob = await blobs.describe(who, file_id)
        kind = blob.media_type.partition("/")[0]
        if kind in ("image", "audio") and blob.size <= MOST_INLINE:
            _, data = await blobs.get(who, file_id)
            made = types.ImageContent if kind == "image" else types.AudioContent
            return made(data=base64.b64encode(data).decode(), mime_type=blob.media_type)
    except NotFound as exc:
        return types.TextContent(text=f"[{exc.message}]")
    named = f"{blob.name} " if blob.name else ""
    return types.TextContent(text=f"[file {named}({blob.media_type}, {blob.size} bytes): /v1/files/{file_id}/content]")


def tools_of(tools: Sequence[ToolDef], *, open_world: bool | None = None) -> list[types.Tool]:
    return [_tool(tool, open_world) for tool in tools]


def _tool(tool: ToolDef, open_world: bool | None) -> types.Tool:
    hints: dict[str, Any] = {"read_only_hint": tool.effect == "read", "open_world_hint": open_world}
    if tool.effect != "read":
        hints |= {"idempotent_hint": tool.effect == "idempotent", "destructive_hint": True}
    return types.Tool(
        name=tool.id,
        title=tool.title or None,
        description=tool.description or tool.id,
        input_schema={**tool.schema, "type": "object"},
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(**hints),
    )
