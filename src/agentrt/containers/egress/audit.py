"""What boxes ask for, written down: in the log of the run whose code asked, and in the server's."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from agentrt.events import EgressRequested, StoredEvent
from agentrt.kernel import AgentrtError, Principal

from .exchange import Exchange
from .grant import Grant
from .meter import Meter

log = structlog.get_logger()

Record = Callable[[Principal, str, Sequence[StoredEvent]], Awaitable[object]]
"""Adds facts to the log of a run."""

MOST_REFUSALS_PER_MINUTE = 120


class Audit:
    """For one box. Requests that were let through are told one by one, their own limits bound them; refusals only up to a rate,
    so that nobody can fill the log with them."""

    def __init__(self, box_id: str, record: Record, now: Callable[[], float]) -> None:
        self._box_id, self._record = box_id, record
        self._refusals = Meter(MOST_REFUSALS_PER_MINUTE, 1 << 62, now)
        self._left_out = 0

    async def tell(self, grant: Grant | None, exchange: Exchange) -> None:
        """Write down an exchange that is over."""
        if exchange.reason and self._refusals.refuse() is not None:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        event = EgressRequested(
            upstream=exchange.upstream,
            method=exchange.head.method,
            path=exchange.path,
            status=exchange.status,
            sent_bytes=exchange.sent,
            received_bytes=exchange.received,
            duration_ms=exchange.duration_ms,
            reason=exchange.reason,
            left_out=left_out,
        )
        run_id = grant.run_id if grant else ""
        say = log.warning if exchange.reason else log.info
        say("egress.requested", box=self._box_id, run_id=run_id, **{n: getattr(event, n) for n in event.__struct_fields__})
        if grant is None or not run_id:
            return
        try:
            await self._record(grant.who, run_id, [event])
        except AgentrtError as exc:  # the run was erased, or the database refuses: the log has it
            log.warning("egress.not_recorded", run_id=run_id, reason=exc.message)
