"""Files on their way into a workspace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

from agentrt.files import Blobs
from agentrt.kernel import Principal

from .sandboxes import Held
from .views import AttachFile
from .workspaces import Entry, safe_extract

MOST_UPLOADED = 1024 * 1024 * 1024
PIECE = 1024 * 1024


async def attach(held: Held, blobs: Blobs, who: Principal, asked: AttachFile) -> Entry:
    """Put a stored file there; a path with a slash at its end is a folder for it. NotFound, Invalid, TooLarge."""
    blob, file = await blobs.open(who, asked.file_id)
    path = asked.path or ""
    if not path or path.endswith("/"):
        path += blob.name.replace("\\", "/").rpartition("/")[2] or blob.id

    def copy() -> Entry:
        with file, held.tree.writing(path, most_bytes=MOST_UPLOADED) as out:
            while piece := file.read(PIECE):
                out.write(piece)
        return held.tree.stat(path)

    return await asyncio.to_thread(copy)


async def unpack(held: Held, blobs: Blobs, who: Principal, asked: AttachFile) -> list[str]:
    """Unpack a stored zip or tar into a folder there; the paths of its files. NotFound; Invalid, TooLarge for an archive that
    is refused, and then nothing of it stays."""
    _, file = await blobs.open(who, asked.file_id)

    def extract() -> list[str]:
        with file:
            return safe_extract(file, held.tree, asked.path or ".")

    return await asyncio.to_thread(extract)


async def upload(held: Held, path: str, pieces: AsyncIterator[bytes]) -> Entry:
    """Put what comes there, at once and whole when all of it has come. Invalid, TooLarge."""
    with ExitStack() as stack:
        out = await asyncio.to_thread(stack.enter_context, held.tree.writing(path, most_bytes=MOST_UPLOADED))
        async for piece in pieces:
            if piece:
                await asyncio.to_thread(out.write, piece)
    return await asyncio.to_thread(held.tree.stat, path)
