"""Content-addressed bytes: what is too large or too binary for an event. Events hold ids."""

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

from agentrt.db import Database
from agentrt.kernel import Clock, NotFound, Principal, Unavailable, is_id

from .blob import Blob
from .store import FileTable


class Blobs:
    """Bytes under `folder`, named by their SHA-256; which run of which tenant refers to them is in the database.

    An id is the same for the same content, so that a picture sent twice is stored, and recognised, once.
    """

    def __init__(self, folder: Path, db: Database, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._table = FileTable(db)
        self._moving = asyncio.Lock()  # bytes are not removed while somebody comes to refer to them

    async def put(self, who: Principal, run_id: str, data: bytes, media_type: str, name: str = "") -> str:
        """Keep `data` for a run; its file id. Unavailable where the disk refuses."""
        async with self._moving:
            sha256 = await asyncio.to_thread(self._write, data)
            now = self._clock.now_us()
            blob = Blob(f"file_{sha256[:32]}", _told(media_type), _told(name), len(data), sha256, now)
            await self._table.add(who.tenant, run_id, blob)
        return blob.id

    async def describe(self, who: Principal, file_id: str) -> Blob:
        """Particulars without the bytes; NotFound for another tenant's."""
        found = await self._table.find(who.tenant, file_id) if is_id("file", file_id) else None
        if found is None:
            raise NotFound(f"there is no file {file_id[:60]!r}", code="file_not_found")
        return found

    async def get(self, who: Principal, file_id: str) -> tuple[Blob, bytes]:
        """Particulars and bytes; NotFound for another tenant's, or where the bytes are gone."""
        blob = await self.describe(who, file_id)
        try:
            return blob, await asyncio.to_thread(self._path(blob.sha256).read_bytes)
        except OSError:
            raise NotFound(f"the bytes of {file_id} are gone", code="file_not_found") from None

    async def locate(self, who: Principal, file_id: str) -> tuple[Blob, Path]:
        """Particulars, and where the bytes lie; NotFound for another tenant's, or where the bytes are gone."""
        blob = await self.describe(who, file_id)
        path = self._path(blob.sha256)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(f"the bytes of {file_id} are gone", code="file_not_found")
        return blob, path

    async def purge(self, run_ids: list[str]) -> None:
        """Forget what these runs refer to, and remove bytes that nobody refers to any more."""
        async with self._moving:
            for sha256 in await self._table.forget(run_ids):
                await asyncio.to_thread(self._path(sha256).unlink, missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256[2:]

    def _write(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        if path.exists():
            return sha256
        part = path.with_suffix(f".{os.urandom(4).hex()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(path)  # a crash leaves a part, never half a file under its hash
        except OSError as exc:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise Unavailable(f"a file cannot be stored: {exc.strerror}", code="storage_unavailable") from exc
        return sha256


def _told(text: str) -> str:
    """What a caller or a tool says of a file, as far as a column takes it: PostgreSQL refuses NUL."""
    return text.replace("\0", "")[:255]
