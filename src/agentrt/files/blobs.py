"""Content-addressed bytes: what is too large or too binary for an event, and what people uploaded. Events hold ids."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from agentrt.db import Database
from agentrt.kernel import Clock, Conflict, Invalid, NotFound, Principal, is_id, new_id

from .blob import Blob, Listed, Order
from .shelf import Part, Shelf
from .store import UPLOADED, FileTable
from .sweep import Begun, Sweep
from .upload import Upload


class Blobs:
    """Bytes under `folder`, named by their SHA-256; who refers to them is in the database: runs of a tenant, or the person of a
    tenant who uploaded them.

    The id of what a run refers to is the same for the same content, so that a picture sent twice is stored, and recognised,
    once. Every upload has an id of its own.
    """

    def __init__(self, folder: Path, db: Database, clock: Clock, *, max_upload_bytes: int = 512 * 1024 * 1024) -> None:
        self._clock = clock
        self.max_upload_bytes = max_upload_bytes
        self._shelf = Shelf(folder, durable=db.synchronous == "full")
        self._table = FileTable(db)
        self._moving = asyncio.Lock()  # bytes are not removed while somebody comes to refer to them
        self._sweep = Sweep(self._shelf, self._table, self._moving, clock)

    async def put(self, who: Principal, run_id: str, data: bytes, media_type: str, name: str = "") -> str:
        """Keep `data` for a run; its file id. Unavailable where the disk refuses."""
        async with self._moving:
            sha256 = await asyncio.to_thread(self._shelf.put, data)
            now = self._clock.now_us()
            blob = Blob(f"file_{sha256[:32]}", _told(media_type), _told(name), len(data), sha256, now)
            await self._table.add(who.tenant, run_id, blob)
        return blob.id

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Upload]:
        """Something to write an upload to, for `keep`; what was not kept is gone with the block. Unavailable."""
        part = await asyncio.to_thread(Part, self._shelf, self.max_upload_bytes)
        try:
            yield Upload(part)
        finally:
            part.drop()

    async def keep(
        self, who: Principal, upload: Upload, media_type: str, name: str, *, purpose: str, lasts_s: int | None = None
    ) -> Blob:
        """Keep what was uploaded for this person, `lasts_s` seconds or for good. TooLarge, Unavailable."""
        await upload.flush()
        part, now = upload.part, self._clock.now_us()
        expires_at = None if lasts_s is None else now + lasts_s * 1_000_000
        told = (_told(media_type), _told(name), part.size, part.sha256, now)
        blob = Blob(new_id("file"), *told, purpose=purpose, expires_at=expires_at)
        async with self._moving:
            await asyncio.to_thread(part.keep)
            await self._table.add(who.tenant, UPLOADED, blob, who.user)
        return blob

    async def list(
        self, who: Principal, *, purpose: str = "", after: str = "", limit: int = 10_000, order: Order = "desc"
    ) -> Listed:
        """What was uploaded, newest first unless told otherwise; `after` is the id of a file."""
        if after and not is_id("file", after):
            raise Invalid(f"{after[:60]!r} is not a file id", param="after")
        now = self._clock.now_us()
        found = await self._table.uploads(who.tenant, who.user, now, purpose=purpose, after=after, limit=limit + 1, order=order)
        return Listed(found[:limit], len(found) > limit)

    async def describe(self, who: Principal, file_id: str) -> Blob:
        """Particulars without the bytes; NotFound for another tenant's, or another person's upload."""
        found = None
        if is_id("file", file_id):
            found = await self._table.find(who.tenant, who.user, file_id, self._clock.now_us())
        if found is None:
            raise NotFound(f"there is no file {file_id[:60]!r}", code="file_not_found")
        return found

    async def get(self, who: Principal, file_id: str) -> tuple[Blob, bytes]:
        """Particulars and bytes; NotFound as `describe`, or where the bytes are gone."""
        blob, path = await self.locate(who, file_id)
        try:
            return blob, await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise _gone(file_id) from None

    async def locate(self, who: Principal, file_id: str) -> tuple[Blob, Path]:
        """Particulars, and where the bytes lie; NotFound as `get`."""
        blob = await self.describe(who, file_id)
        path = self._shelf.path(blob.sha256)
        if not await asyncio.to_thread(path.is_file):
            raise _gone(file_id)
        return blob, path

    async def open(self, who: Principal, file_id: str) -> tuple[Blob, BinaryIO]:
        """Particulars, and the bytes to read in threads; the caller closes. Bytes once opened stay. NotFound as `get`."""
        blob, path = await self.locate(who, file_id)
        try:
            return blob, await asyncio.to_thread(path.open, "rb")
        except OSError:
            raise _gone(file_id) from None

    async def delete(self, who: Principal, file_id: str) -> None:
        """Remove an upload. NotFound as `describe`; Conflict for what belongs to a run."""
        await self.describe(who, file_id)
        await self._sweep.remove(lambda: self._table.remove(who.tenant, who.user, file_id))
        now = self._clock.now_us()
        if await self._table.find(who.tenant, who.user, file_id, now) is not None:
            raise Conflict(f"the file {file_id} belongs to a run and goes with its session", code="file_in_use")

    async def purge(self, run_ids: Sequence[str]) -> None:
        """Forget what these runs refer to, and remove bytes that nobody refers to any more."""
        await self._sweep.remove(lambda: self._table.forget(run_ids))

    async def clear(self) -> None:
        """Remove what an earlier process was cut off from writing; for the start, when nothing is being written."""
        await asyncio.to_thread(self._shelf.clear_incoming)

    async def sweep(self, begun: Begun) -> None:
        """Remove what crashes left and what has expired. `begun` says which of some runs have ever begun."""
        await self._sweep.all(begun)


def _gone(file_id: str) -> NotFound:
    return NotFound(f"the bytes of {file_id} are gone", code="file_not_found")


def _told(text: str) -> str:
    """What a caller or a tool says of a file, as far as a column takes it: PostgreSQL refuses NUL."""
    return text.replace("\0", "")[:255]
