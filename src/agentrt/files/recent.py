import base64
from collections import OrderedDict

from .fetch import ImageFetcher

MOST_BYTES = 32 * 1024 * 1024


class RecentImages:
    """Images by address that no run has stored, because its first model wanted none: fetched once for the calls in a row."""

    def __init__(self, fetcher: ImageFetcher, most_bytes: int = MOST_BYTES) -> None:
        self._fetcher, self._most = fetcher, most_bytes
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._size = 0

    async def as_data(self, url: str) -> str:
        """The image at `url` as a data URL; Invalid where it cannot be fetched."""
        if (known := self._kept.get(url)) is not None:
            self._kept.move_to_end(url)
            return known
        found = await self._fetcher.fetch(url)
        data = f"data:{found.media_type};base64,{base64.b64encode(found.data).decode()}"
        if url not in self._kept:  # two calls may have fetched it at once
            self._kept[url] = data
            self._size += len(data)
        while self._size > self._most:
            _, forgotten = self._kept.popitem(last=False)
            self._size -= len(forgotten)
        return data
