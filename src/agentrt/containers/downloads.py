"""Files of a workspace on their way to a reader."""

import asyncio
import os
import posixpath
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from urllib.parse import quote

from .tool_defs import PACKAGES
from .workspaces import Tree

PIECE = 262_144


async def pieces_of(tree: Tree, path: str) -> AsyncIterator[bytes]:
    """The bytes of a file. Invalid, NotFound before the first of them."""
    stack = ExitStack()
    found = await asyncio.to_thread(stack.enter_context, tree.open(path))

    async def pieces() -> AsyncIterator[bytes]:
        with stack:
            left, offset = found.size, 0  # no more than it held when it was opened, however it grows
            while left > 0 and (piece := await asyncio.to_thread(os.pread, found.file.fileno(), min(left, PIECE), offset)):
                yield piece
                left, offset = left - len(piece), offset + len(piece)

    return pieces()


async def zip_of(tree: Tree, path: str) -> AsyncIterator[bytes]:
    """The files below a folder as a zip, without installed packages. Invalid, NotFound, TooLarge before the first byte."""
    packed = await asyncio.to_thread(tree.zip, path, without=posixpath.basename(PACKAGES))

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(_next, packed):
            yield piece

    return pieces()


def _next(pieces: Iterator[bytes]) -> bytes:
    """Empty at the end."""
    for piece in pieces:
        if piece:
            return piece
    return b""


def as_attachment(name: str) -> dict[str, str]:
    """Headers of a download under this name: no browser shows it as a page of this server."""
    return {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "x-content-type-options": "nosniff",
    }
