"""The tools over files of a workspace, from outside the box: whatever runs inside cannot lead them astray."""

import asyncio
import io
from typing import Any, assert_never

from agentrt.kernel import Conflict, Invalid, TooLarge
from agentrt.messages import Text, ToolCall, ToolResult
from agentrt.tools import CallContext

from . import arguments as a
from .sandboxes import Held, Sandboxes
from .spec import MIB
from .tool_results import MOST_IMAGE_BYTES, PICTURES, artifact_view, picture
from .workspaces import Entry, Listing, Tree

MOST_READ, MOST_WRITTEN = MIB, 16 * MIB
MOST_LISTED = 1000
WORKSPACE = "/workspace"


def inside(path: str) -> str:
    """Models name a file as it is called inside, too."""
    return path.removeprefix(WORKSPACE).lstrip("/") or "." if path == WORKSPACE or path.startswith(WORKSPACE + "/") else path


async def read_file(call: ToolCall, given: a.ReadFile, held: Held, ctx: CallContext, sandboxes: Sandboxes) -> ToolResult:
    if _kind(given.path) in PICTURES:
        return await _read_picture(call, given, held, ctx, sandboxes)
    structured = await asyncio.to_thread(_excerpt, held.tree, given)
    return ToolResult(call.id, (Text(structured["content"] or "[the file is empty]"),), structured=structured)


def _excerpt(tree: Tree, given: a.ReadFile) -> dict[str, Any]:
    """The lines that are wanted, one at a time: a small file may hold millions."""
    data = tree.read(given.path, 0, MOST_WRITTEN + 1)
    if b"\x00" in data[:8192]:
        raise Invalid(f"{given.path} is a binary file of {len(data)} bytes; read it with code", code="binary_file", param="path")
    first = (given.offset or 1) - 1
    until = None if given.limit is None else first + given.limit
    text, lines, total = io.StringIO(), 0, 0
    for total, line in enumerate(io.StringIO(data.decode("utf-8", "replace"), newline=""), 1):
        if first < total and (until is None or total <= until):
            lines += 1
            if text.tell() <= MOST_READ:
                text.write(line[: MOST_READ + 1])
    content = text.getvalue()
    return {
        "path": given.path,
        "content": content[:MOST_READ],
        "first_line": first + 1,
        "lines": lines,
        "total_lines": total,
        "truncated": len(content) > MOST_READ or len(data) > MOST_WRITTEN,
    }


async def _read_picture(call: ToolCall, given: a.ReadFile, held: Held, ctx: CallContext, sandboxes: Sandboxes) -> ToolResult:
    entry = await asyncio.to_thread(held.tree.stat, given.path)
    artifact = await sandboxes.keep(ctx.who, held, ctx.run_id, given.path) if entry.size <= MOST_IMAGE_BYTES else None
    said = f"{given.path} is an image of {entry.size} bytes"
    if artifact is None:
        return ToolResult(call.id, (Text(f"{said}, which cannot be shown"),), structured=_entry(entry))
    return ToolResult(call.id, (Text(said), picture(artifact)), structured={**_entry(entry), **artifact_view(artifact)})


async def write_file(call: ToolCall, given: a.WriteFile, held: Held, ctx: CallContext, sandboxes: Sandboxes) -> ToolResult:
    data = _encoded(given.content, "content")
    await asyncio.to_thread(held.tree.write, given.path, data, most_bytes=MOST_WRITTEN)
    return await _written(call, given.path, len(data), held, ctx, sandboxes)


async def edit_file(call: ToolCall, given: a.EditFile, held: Held, ctx: CallContext, sandboxes: Sandboxes) -> ToolResult:
    async with held.turn:  # what runs in the sandbox by our order writes to it too
        data = await asyncio.to_thread(_edited, held.tree, given)
        await asyncio.to_thread(held.tree.write, given.path, data, most_bytes=MOST_WRITTEN)
    return await _written(call, given.path, len(data), held, ctx, sandboxes)


def _edited(tree: Tree, given: a.EditFile) -> bytes:
    data = tree.read(given.path, 0, MOST_WRITTEN + 1)
    if len(data) > MOST_WRITTEN:
        raise Invalid(f"{given.path} is too large to edit", code="file_too_large", param="path")
    old, new = _encoded(given.old_text, "old_text"), _encoded(given.new_text, "new_text")
    count = data.count(old) if old else 0
    if not count:
        raise Conflict(f"old_text does not occur in {given.path}", code="text_not_found", param="old_text")
    if count > 1 and not given.replace_all:
        raise Conflict(
            f"old_text occurs {count} times in {given.path}: give more of its surroundings, or set replace_all",
            code="text_not_unique",
            param="old_text",
        )
    if len(data) + count * (len(new) - len(old)) > MOST_WRITTEN:  # before it is made: it could be larger than all memory
        raise TooLarge(f"{given.path} would be larger than {MOST_WRITTEN} bytes", code="file_too_large", param="new_text")
    return data.replace(old, new)


async def _written(call: ToolCall, path: str, size: int, held: Held, ctx: CallContext, sandboxes: Sandboxes) -> ToolResult:
    """A file that a model writes is an artifact like those that its code writes."""
    artifact = await sandboxes.keep(ctx.who, held, ctx.run_id, path)
    structured: dict[str, Any] = {"path": path, "size": size, "artifacts": []}
    if artifact is not None:
        await ctx.emit(artifact)
        structured["artifacts"] = [artifact_view(artifact)]
    return ToolResult(call.id, (Text(f"wrote {size} bytes to {path}"),), structured=structured)


def look_or_delete(call: ToolCall, given: a.ListFiles | a.GlobFiles | a.DeleteFile, tree: Tree) -> ToolResult:
    """Takes the disk's time: call it in a thread."""
    match given:
        case a.ListFiles(path=path, recursive=recursive):
            return _listed(call, tree.list(path, recursive=recursive, most=MOST_LISTED))
        case a.GlobFiles(pattern=pattern, path=path):
            return _listed(call, tree.glob(pattern, path, most=MOST_LISTED))
        case a.DeleteFile(path=path, recursive=recursive):
            tree.delete(path, recursive=recursive)
            return ToolResult(call.id, (Text(f"deleted {path}"),), structured={"path": path, "deleted": True})
        case _:
            assert_never(given)


def _listed(call: ToolCall, listing: Listing) -> ToolResult:
    lines = [f"{entry.path}/" if entry.kind == "folder" else f"{entry.path} ({entry.size} bytes)" for entry in listing.entries]
    if not listing.complete:
        lines.append("[there is more]")
    structured = {"files": [_entry(entry) for entry in listing.entries], "truncated": not listing.complete}
    return ToolResult(call.id, (Text("\n".join(lines) or "[nothing]"),), structured=structured)


def _entry(entry: Entry) -> dict[str, Any]:
    return {"path": entry.path, "type": entry.kind, "size": entry.size}


def _encoded(text: str, param: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{param} is not valid Unicode: it holds half of a surrogate pair", param=param) from None


def _kind(path: str) -> str:
    from mimetypes import guess_type

    return guess_type(path)[0] or ""
