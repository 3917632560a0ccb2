"""The tool calls of one model message: side by side up to a cap, outcomes as they come."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from agentrt.events import StoredEvent, ToolCompleted, ToolFailed
from agentrt.kernel import AgentrtError
from agentrt.messages import Text, ToolCall, ToolResult
from agentrt.tools import Artifact, CallContext, Output, ToolBox, ToolTimedOut, ToolUnavailable

from .drive import ActStopped, Drive, Listener
from .output import OutputSink
from .policy import CallTool

log = structlog.get_logger()

MAX_PARALLEL = 16


class ToolCaller:
    def __init__(self, box: ToolBox) -> None:
        self._box = box

    async def call_all(self, drive: Drive, commands: Sequence[CallTool]) -> list[StoredEvent]:
        """Carry out every call; the outcome of the last to end is returned, the others are in the log already."""
        began = time.perf_counter()
        left = len(commands)
        last: list[StoredEvent] = []
        places = asyncio.Semaphore(MAX_PARALLEL)

        async def one(command: CallTool) -> None:
            nonlocal left
            async with places:
                outcome = await self._call(drive, command)
            left -= 1
            if left:
                await drive.append([outcome])
            else:
                last.append(outcome)

        if len(commands) == 1:
            await one(commands[0])
        else:
            async with asyncio.TaskGroup() as group:
                for command in commands:
                    group.create_task(one(command), name=f"tool {command.call.name}")
        drive.outside_s += time.perf_counter() - began
        return last

    async def _call(self, drive: Drive, command: CallTool) -> StoredEvent:
        call, began = command.call, time.perf_counter()
        async with asyncio.TaskGroup() as group:
            sink = OutputSink(call.id, drive.append, group)
            outcome = await self._outcome(drive, call, sink)
            await sink.close()
        took = round((time.perf_counter() - began) * 1e3, 3)
        if isinstance(outcome, ToolResult):
            return ToolCompleted(call_id=call.id, name=call.name, result=outcome, duration_ms=took)
        reason, said = outcome
        result = ToolResult(call.id, (Text(said),), is_error=True)
        return ToolFailed(call_id=call.id, name=call.name, reason=reason, result=result, duration_ms=took)

    async def _outcome(self, drive: Drive, call: ToolCall, sink: OutputSink) -> ToolResult | tuple[str, str]:
        """What the tool answered, or why it did not: a stable word and a sentence."""
        try:
            async with drive.acting():
                return await self._carry_out(drive, call, sink)
        except ActStopped:
            return _why_stopped(drive)
        except ToolTimedOut as exc:
            return "timeout", exc.message
        except ToolUnavailable as exc:
            return "unavailable", exc.message
        except AgentrtError as exc:
            return exc.code, exc.message

    async def _carry_out(self, drive: Drive, call: ToolCall, sink: OutputSink) -> ToolResult:
        state = drive.known
        only = state.started.only
        ctx = CallContext(
            who=drive.who,
            run_id=state.run_id,
            session_id=state.accepted.session_id if only is None else only.session,
            agent=drive.spec,
            timeout_s=drive.seconds_left(),
            idempotency_key=call.id,
            emit=sink.emit if drive.listener is None else _both(sink.emit, drive.listener),
        )
        return await self._box.call(drive.offer, call, ctx)


def _both(stored: Listener, shown: Listener) -> Listener:
    async def emit(piece: Output | Artifact) -> None:
        await shown(piece)
        await stored(piece)

    return emit


def _why_stopped(drive: Drive) -> tuple[str, str]:
    if drive.interrupted:
        return "cancelled", "the run was cancelled while this tool ran"
    return "budget_exceeded", "the run's seconds budget ran out while this tool ran"
