"""One connection through a published port: HTTP is looked at where it begins, anything else goes through as it is."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from .heads import LOOKED_AT, Untrusted, answer_head, asks_for_another, end_of_head, is_http, may_be_answer, request_head
from .relay import PIECE, Ends, end, send


class Passage:
    """Between a caller and a box. `port` is the one that the caller means to have called."""

    def __init__(self, caller: Ends, box: Ends, port: int, idle_s: float) -> None:
        self._caller, self._box, self._port, self._idle_s = caller, box, port, idle_s
        self._http: bool | None = None
        self._asked = self._told = False
        self._known = asyncio.Event()
        self._scope: asyncio.Timeout | None = None

    async def carry(self, lost: asyncio.Event) -> None:
        """Until both sides have ended theirs, one is gone, nothing came for a while, or the box is `lost`. Untrusted, while the
        caller can still be told, where it did not mean this port, or the box answers what cannot be read."""
        failed: list[Untrusted] = []

        async def judged(flow: Coroutine[Any, Any, None]) -> None:
            try:
                await flow
            except Untrusted as exc:
                failed.append(exc)
                raise ConnectionAbortedError from None

        try:
            async with asyncio.timeout(self._idle_s) as self._scope:
                try:
                    async with asyncio.TaskGroup() as group:
                        ending = group.create_task(self._end_with(lost))
                        flows = [group.create_task(judged(flow)) for flow in (self._out(), self._back())]
                        await asyncio.wait(flows)
                        ending.cancel()
                except* OSError:  # one side is gone: so is the other
                    pass
        except TimeoutError:
            return
        if failed and not self._told:
            raise failed[0]

    async def _out(self) -> None:
        data = b""
        while self._http is None and (piece := await self._read(self._caller)):
            data += piece
            self._http = is_http(data)
        self._known.set()
        if self._http:
            if self._told:  # no HTTP server speaks first, and what this one said was not looked at
                raise Untrusted("the container spoke first")
            while (end := end_of_head(data)) < 0:
                if not (piece := await self._read(self._caller)):
                    raise Untrusted("the head is not whole")
                data += piece
            head, data = data[:end], data[end:]
            self._asked = asks_for_another(head)
            data = request_head(head, self._port) + data
        await self._rest(data, self._caller, self._box)

    async def _back(self) -> None:
        data = await self._read(self._box)
        greeting = b""
        while self._http is None and data:
            greeting = (greeting + data)[:LOOKED_AT]
            if may_be_answer(greeting):  # to a question that is not asked yet, by a browser that has connected ahead
                await self._known.wait()
                break
            self._told = True
            send(self._caller[1], data)
            await self._caller[1].drain()
            data = await self._read(self._box)
        if self._http:
            data = await self._heads(data)
        self._told = True
        await self._rest(data, self._box, self._caller)

    async def _heads(self, data: bytes) -> bytes:
        """Pass on the answer's head, and those of interim answers before it; what came behind."""
        while True:
            while (end := end_of_head(data)) < 0:
                if not (piece := await self._read(self._box)):
                    return b""
                data += piece
            head, data = data[:end], data[end:]
            status, told = answer_head(head, asked=self._asked)
            send(self._caller[1], told)
            if not 100 <= status < 200 or status == 101:
                return data

    async def _rest(self, data: bytes, near: Ends, far: Ends) -> None:
        send(far[1], data)
        while data := await self._read(near):
            send(far[1], data)
            await far[1].drain()
        end(far[1])

    async def _read(self, side: Ends) -> bytes:
        data = await side[0].read(PIECE)
        assert self._scope is not None
        self._scope.reschedule(asyncio.get_running_loop().time() + self._idle_s)
        return data

    async def _end_with(self, lost: asyncio.Event) -> None:
        await lost.wait()
        raise ConnectionAbortedError
