"""One job on its way, as the host sees it."""

import asyncio
from collections.abc import Callable

from .job import Ended, Job, Outcome, Taker
from .pipes import Pipes
from .wire import Reply

GRACE_S = 1.0
GIVE_UP_S = 0.9
KILLED = -9


class Execution:
    """Ends once, when the runner has answered and both pipes are at their end (or were not within a second of the answer).

    `stop` asks the runner to end the job; `give_up` is called where that has not helped in time.
    """

    def __init__(self, job: Job, taker: Taker, stop: Callable[[], None], give_up: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._stop = stop
        self._give_up = give_up
        self._reply: Reply | None = None
        self._ended: Ended = ""
        self._timer: asyncio.TimerHandle | None = None
        self._settled = False
        self._over: asyncio.Future[None] = self._loop.create_future()
        self.pipes = Pipes(taker, job.output_bytes, self._full, self._closed)

    async def wait(self) -> None:
        """Until it ends; a cancel ends it first, and goes on then."""
        try:
            await self._over
        except asyncio.CancelledError:
            if not self._settled:
                self._over = self._loop.create_future()  # the one before was cancelled with its waiter
                self.cut("cancelled")
                await self._over
            raise

    def limit(self, seconds: float) -> None:
        self._set_timer(seconds, self.cut, "wall")

    def cut(self, reason: Ended) -> None:
        """End it; the first reason stays."""
        if self._ended or self._reply is not None:
            return
        self._ended = reason
        self._set_timer(GIVE_UP_S, self._give_up)
        self._stop()

    def replied(self, reply: Reply) -> None:
        if self._reply is not None:
            return
        self._reply = reply
        self.pipes.drain()
        if self.pipes.open:
            self._set_timer(GRACE_S, self._settle)
        else:
            self._settle()

    def lost(self) -> None:
        """The box went away."""
        if self._reply is None:
            self._ended = self._ended or "box"
            self._reply = Reply(0, exit=KILLED, lost=True)
        self.pipes.drain()
        self._settle()

    def outcome(self) -> Outcome:
        """What came of it, once it ended; raises what the taker raised."""
        if self.pipes.failure is not None:
            raise self.pipes.failure
        reply = self._reply or Reply(0, exit=KILLED)
        return Outcome(
            exit_code=reply.exit,
            value=reply.value,
            ended=self._ended or reply.ended,
            state_lost=reply.lost,
            duration_ms=(self._loop.time() - self._began) * 1000,
            output_bytes=self.pipes.taken,
        )

    def close(self) -> None:
        self._settle()

    def _full(self) -> None:
        if self._reply is None:
            self.cut("output")
        else:
            self._ended = self._ended or "output"
            self._settle()

    def _closed(self) -> None:
        if self._reply is not None:
            self._settle()

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.pipes.close()
        self._settled = True
        if not self._over.done():
            self._over.set_result(None)

    def _set_timer(self, seconds: float, call: Callable[..., None], *args: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, call, *args)
