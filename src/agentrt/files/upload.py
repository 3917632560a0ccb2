import asyncio

from .shelf import Part

_BATCH = 1024 * 1024


class Upload:
    """Bytes on their way in; `Blobs.receiving` gives it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._waiting = bytearray()

    async def write(self, data: bytes) -> None:
        """TooLarge past the limit, Unavailable where the disk refuses; perhaps only at a later piece."""
        self._waiting += data
        if len(self._waiting) >= _BATCH:
            await self.flush()

    async def flush(self) -> None:
        waiting, self._waiting = bytes(self._waiting), bytearray()
        if waiting:
            await asyncio.to_thread(self.part.write, waiting)
