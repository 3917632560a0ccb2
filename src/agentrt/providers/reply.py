"""One answer of a provider, read piece by piece, with an end to every wait."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from .entry import ProviderEntry
from .errors import ModelFailure
from .failures import is_page, not_an_api

if TYPE_CHECKING:
    from aiohttp import ClientResponse

# An error body or a list of models: more than this is not read.
_MOST_BODY = 4 * 1024 * 1024

# How long the end of a body is waited for once the answer is complete; beyond it a new connection is cheaper.
_TAIL_S = 0.05


class Reply:
    """An answer whose head is here. Closing it hangs up at once, unless it was read to its end.

    One timer watches the whole answer: limits on every single read would cost more than the read.
    """

    def __init__(self, provider: str, entry: ProviderEntry, response: "ClientResponse", began: float) -> None:
        self._provider, self._entry, self._response = provider, entry, response
        self._content = response.content
        self._loop = asyncio.get_running_loop()
        self._began = began
        self._waiting_since: float | None = None
        self._started = False
        self._late = ""
        self._timer = self._loop.call_later(min(entry.first_token_s, entry.idle_s, entry.total_s), self._look)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        return {name.lower(): value for name, value in self._response.headers.items()}

    @property
    def content_type(self) -> str:
        return self._response.headers.get("Content-Type", "").lower()

    async def read(self) -> bytes:
        """What has arrived since the last read, as one piece; empty at the end of the body. ModelFailure if it breaks off."""
        self._waiting_since = self._loop.time()
        try:
            piece = await self._content.readany()
        except Exception as exc:
            raise self._broken(exc) from exc
        self._waiting_since = None
        self._started = True
        return piece

    async def whole(self) -> bytes:
        """The rest of the body; ModelFailure `malformed` where it exceeds 4 MiB or is a web page."""
        pieces, size = [], 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > _MOST_BODY:
                why = f"{self._provider} sent more than {_MOST_BODY} bytes instead of an event stream"
                raise ModelFailure(why, code="malformed")
        body = b"".join(pieces)
        if self.status == 200 and is_page(self.content_type, body):
            raise not_an_api(self._provider, self.status)
        return body

    async def finish(self) -> None:
        """The answer is complete: give the connection back if the body ends now, else hang up."""
        if not self._content.at_eof():
            with suppress(TimeoutError, ModelFailure):
                async with asyncio.timeout(_TAIL_S):
                    while await self.read():
                        pass
        self.close()

    def close(self) -> None:
        self._timer.cancel()
        if self._content.at_eof():
            self._response.release()
        else:
            self._response.close()

    def _broken(self, exc: Exception) -> Exception:
        from .connection_failures import explained

        if self._late:
            return ModelFailure(f"{self._provider} {self._late}", code="timeout", retryable=True)
        return explained(exc, self._provider, self._entry, answering=True) or exc

    def _look(self) -> None:
        """Has the reader waited longer than allowed? Time in which nobody reads is our own and does not count."""
        now, entry = self._loop.time(), self._entry
        left = entry.total_s - (now - self._began)
        why = f"did not finish its answer within {entry.total_s:g} s"
        if left > 0 and self._waiting_since is not None:
            left, why = min((left, why), self._patience_left(now - self._waiting_since, now))
        if left <= 0:
            self._late = why
            self._response.close()
        else:
            self._timer = self._loop.call_later(min(left, entry.idle_s), self._look)

    def _patience_left(self, waited: float, now: float) -> tuple[float, str]:
        entry = self._entry
        if self._started:
            return entry.idle_s - waited, f"sent nothing for {entry.idle_s:g} s"
        return entry.first_token_s - (now - self._began), f"did not begin to answer within {entry.first_token_s:g} s"
