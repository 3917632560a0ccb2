"""What is known of the caller of a request, and how it is told what goes on."""

import asyncio
from collections import OrderedDict
from typing import Any

import mcp_types as types
from mcp.server.connection import allowed_log_levels
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from agentrt.kernel import Principal
from agentrt.tools import Output

GONE = "agentrt.gone"
MOST_SESSIONS = 1000
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def who_of(ctx: Any) -> Principal:
    return ctx.request.scope["state"]["who"]


def gone_of(ctx: Any) -> asyncio.Event:
    """Set once the caller has hung up."""
    return ctx.request.scope[GONE]


def session_of(ctx: Any) -> str:
    """The id of the caller's session; empty in the stateless era."""
    return ctx.request.headers.get("mcp-session-id", "")


def is_stateful(ctx: Any) -> bool:
    """Whether the request belongs to a session of the older era."""
    return ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS


class Levels:
    """From which level on each session wants messages; those that never said want none."""

    def __init__(self) -> None:
        self._of_sessions: OrderedDict[str, str] = OrderedDict()

    def set(self, ctx: Any, level: str) -> None:
        self._of_sessions[session_of(ctx)] = level
        while len(self._of_sessions) > MOST_SESSIONS:
            self._of_sessions.popitem(last=False)

    def wanted(self, ctx: Any, level: types.LoggingLevel) -> bool:
        if not is_stateful(ctx):
            return level in allowed_log_levels(ctx.protocol_version, ctx.meta)
        least = self._of_sessions.get(session_of(ctx))
        return least is not None and _LEVELS.index(level) >= _LEVELS.index(least)


class Reporter:
    """Tells one caller what its call says: as progress where it sent a token, as messages where it set a level."""

    def __init__(self, ctx: Any, levels: Levels) -> None:
        self._ctx, self._levels = ctx, levels
        self._at = 0.0

    async def tell(self, piece: Output) -> None:
        session = self._ctx.session
        own = piece.progress is not None and piece.progress > self._at
        self._at = piece.progress if own and piece.progress is not None else self._at + 1  # it must rise
        await session.report_progress(self._at, piece.total if own else None, piece.text or None)
        level: types.LoggingLevel = "info" if piece.stream == "stdout" else "warning"
        if piece.text and self._levels.wanted(self._ctx, level):
            params = types.LoggingMessageNotificationParams(level=level, logger=piece.stream, data=piece.text)
            await session.send_notification(types.LoggingMessageNotification(params=params), self._ctx.request_id)
