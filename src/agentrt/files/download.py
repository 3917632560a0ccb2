"""The bytes of a stored file over HTTP."""

import asyncio
import re
from collections.abc import Mapping
from mimetypes import guess_extension
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from .blob import Blob
from .ranges import Piece, wanted

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send

UNKNOWN = "application/octet-stream"
_PIECE = 256 * 1024
# it came from a caller or a tool: nothing else may get into a header
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


class Download:
    """An ASGI application that answers one request, and closes `source`. Always an attachment: whoever wrote the bytes, no
    browser shows them as a page of this server."""

    def __init__(self, blob: Blob, source: BinaryIO, headers: Mapping[str, str], *, bodiless: bool) -> None:
        self._blob, self._source, self._bodiless = blob, source, bodiless
        self._etag = f'"{blob.sha256}"'
        self._piece = wanted(headers, blob.size, self._etag)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        piece = self._piece
        try:
            head = [(name.encode(), value.encode()) for name, value in self._headers(piece).items()]
            await send({"type": "http.response.start", "status": piece.status, "headers": head})
            left = 0 if self._bodiless or piece.status in (304, 416) else piece.length
            await asyncio.to_thread(self._source.seek, piece.start)
            while left and (data := await asyncio.to_thread(self._source.read, min(left, _PIECE))):
                left -= len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._source.close()

    def _headers(self, piece: Piece) -> dict[str, str]:
        common = {"etag": self._etag, "accept-ranges": "bytes", "cache-control": "private, no-cache"}
        if piece.status == 304:
            return common
        if piece.status == 416:
            return common | {"content-range": f"bytes */{self._blob.size}", "content-length": "0"}
        told = {
            "content-type": media_type(self._blob),
            "content-length": str(piece.length),
            "content-disposition": _disposition(filename(self._blob)),
            "x-content-type-options": "nosniff",
        }
        if piece.status == 206:
            told["content-range"] = f"bytes {piece.start}-{piece.start + piece.length - 1}/{self._blob.size}"
        return common | told


def media_type(blob: Blob) -> str:
    """What a header may say of it."""
    return blob.media_type if _MEDIA_TYPE.fullmatch(blob.media_type) else UNKNOWN


def filename(blob: Blob) -> str:
    """The file's own name, without folders; else one made of its id."""
    own = re.split(r"[/\\]", blob.name)[-1].strip()
    return own or blob.id + (guess_extension(media_type(blob)) or "")


def _disposition(name: str) -> str:
    if name.isascii() and name.isprintable() and not set(name) & set('"\\%'):
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=utf-8''{quote(name, safe='')}"
