"""The log's lines about runs, as far as their agent's `logging` asks for them.

`debug`: every stored event; `info`: where a run begins and ends; `warning`: where one fails; `error`: none but mistakes of the
server, which are logged where they are caught. The server's own level holds too.
"""

import time

import structlog

from agentrt.events import Record, RunQueued, RunStarted, wire_name
from agentrt.journal import Journal

from .drive import Drive
from .state import ENDED

log = structlog.get_logger()


def run_began(drive: Drive) -> None:
    if drive.spec.logging not in ("info", "debug"):
        return
    accepted = drive.known.accepted
    log.info("run.started", run_id=drive.known.run_id, agent=accepted.agent, model=_model(accepted), mode=accepted.mode)


def run_ended(drive: Drive) -> None:
    """Nothing for a run that was only left for the next start."""
    level, state = drive.spec.logging, drive.known
    if level == "error" or state.status not in ENDED or (level == "warning" and state.status != "failed"):
        return
    say = log.warning if state.status == "failed" else log.info
    say(
        f"run.{state.status}",
        run_id=state.run_id,
        agent=state.accepted.agent,
        model=_model(state.accepted),
        duration_s=round(time.time() - state.at / 1e6, 3),
        input_tokens=state.usage.input,
        output_tokens=state.usage.output,
        **({"code": state.error} if state.error else {}),
    )


def wants_events(drive: Drive) -> bool:
    return drive.spec.logging == "debug"


async def log_events(journal: Journal, run_id: str, after: int) -> None:
    """A line for each event that is stored after `after`, to the end of the run."""
    try:
        async for batch in journal.tail(run_id, str(after), live=False):
            for item in batch:
                if isinstance(item, Record):
                    log.debug("run.event", run_id=run_id, seq=item.seq, type=wire_name(type(item.event).__name__))
    except Exception as exc:  # whatever keeps the log from being followed, the run itself goes on
        log.debug("run.not_followed", run_id=run_id, reason=str(exc))


def _model(accepted: RunStarted | RunQueued) -> str | None:
    """None for a run that is one tool call and asks no model."""
    return f"{accepted.provider}/{accepted.model}" if accepted.model else None
