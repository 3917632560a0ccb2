"""Tool output on its way into the log."""

import asyncio
from collections.abc import Sequence

import pytest

from agentrt.events import StoredEvent, ToolStderr, ToolStdout
from agentrt.runs.output import MOST_PIECES, OutputSink
from agentrt.tools import Output

pytestmark = pytest.mark.anyio


async def test_turns_between_two_streams_do_not_make_a_row_each() -> None:
    rows: list[StoredEvent] = []

    async def append(events: Sequence[StoredEvent]) -> None:
        rows.extend(events)

    async with asyncio.TaskGroup() as group:
        sink = OutputSink("call_1", append, group)
        for _ in range(5000):
            await sink.emit(Output("stdout", "a"))
            await sink.emit(Output("stderr", "b"))
        await sink.close()
    assert len(rows) <= 2 * (MOST_PIECES + 1)
    assert "".join(row.text for row in rows if isinstance(row, ToolStdout)) == "a" * 5000
    assert "".join(row.text for row in rows if isinstance(row, ToolStderr)) == "b" * 5000
