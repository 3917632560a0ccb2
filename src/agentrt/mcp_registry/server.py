"""One configured server: its connections (one, or one per end user), its tools, its calls."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from agentrt.files import Blobs
from agentrt.kernel import Principal
from agentrt.messages import ToolCall, ToolResult
from agentrt.tools import CallContext, ToolDef, ToolTimedOut, ToolUnavailable

from .connection import Connection, Pace
from .link import BadAnswer
from .listing import effect_of
from .names import tool_ids
from .results import failed, to_result
from .spec import McpServerSpec
from .target import target_of

MOST_USERS = 32

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class ServerTool(msgspec.Struct, frozen=True):
    """A tool as the server names it, and as models see it."""

    name: str
    shown: ToolDef


class _Place(msgspec.Struct):
    """A connection, the task that owns it, and what it offers."""

    connection: Connection
    task: asyncio.Task[None]
    tools: dict[str, ServerTool]
    shown: tuple[ToolDef, ...]

    def end(self) -> asyncio.Task[None]:
        """Close the connection for good; the task to wait for."""
        self.connection.end()
        self.task.cancel()
        return self.task


class Server:
    """What an operator configured under one name. `stop` ends it; until then it keeps itself connected."""

    def __init__(
        self,
        name: str,
        slug: str,
        spec: McpServerSpec,
        *,
        env: Mapping[str, str],
        blobs: Blobs,
        pace: Pace,
        spawn: Spawn,
        on_change: Callable[[str], None],
    ) -> None:
        self.name, self.slug, self.spec = name, slug, spec
        self._env, self._blobs, self._pace, self._spawn, self._on_change = env, blobs, pace, spawn, on_change
        self._turns = asyncio.Semaphore(spec.concurrency)
        self._calls = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()
        if spec.on:
            self._open(("", ""), Principal())

    @property
    def main(self) -> Connection | None:
        """The connection that belongs to no user; None while the server is switched off."""
        place = self._places.get(("", ""))
        return place.connection if place else None

    @property
    def known(self) -> Sequence[ToolDef]:
        """The tools that the main connection last listed."""
        place = self._places.get(("", ""))
        return place.shown if place else ()

    def offer(self, who: Principal) -> Sequence[ToolDef]:
        """The tools this user may be offered now: those known, unless the server was given up for the time being."""
        place = self._nearest(who)
        return () if place.connection.state == "failed" else place.shown

    def connection(self, who: Principal) -> Connection:
        """The connection that serves this user, opened where there is none yet and room for one."""
        return self._nearest(who).connection

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        """Carry out a call in its turn; waiting for the turn counts against its time."""
        self._calls += 1
        self._quiet.clear()
        try:
            return await self._call(call, ctx)
        finally:
            self._calls -= 1
            if not self._calls:
                self._quiet.set()

    async def prompt(self, who: Principal, name: str, timeout_s: float) -> str:
        """The text of a prompt, as this user sees it. ToolUnavailable, UpstreamFailed, TimedOut."""
        return await self._place(who).connection.prompt(name, timeout_s)

    async def quiet(self) -> None:
        """Until no call is under way."""
        await self._quiet.wait()

    def close_idle(self, idle_s: float, now: float) -> None:
        """Close the connections of users who were not heard of for a while."""
        for key, place in list(self._places.items()):
            connection = place.connection
            idle = not connection.running and connection.used_at < now - idle_s
            if key != ("", "") and idle and connection.state != "connecting":
                self._close(key)

    def stop(self) -> list[asyncio.Task[None]]:
        """End all connections; the tasks to wait for."""
        tasks = [place.end() for place in self._places.values()]
        self._places.clear()
        return tasks

    async def _call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        place = self._place(ctx.who)
        limit = min(ctx.timeout_s, self.spec.call_timeout or ctx.timeout_s)
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
        except msgspec.MsgspecError:
            return failed(call.id, "the arguments are not a JSON object")
        clock = asyncio.get_running_loop().time
        until = clock() + limit
        try:
            async with asyncio.timeout(limit):
                await self._turns.acquire()
        except TimeoutError as exc:
            raise ToolTimedOut(f"{self.name!r} was busy with other calls for {limit:.3g} s") from exc
        try:
            return await self._carry_out(place, call, arguments, ctx, until - clock())
        finally:
            self._turns.release()

    async def _carry_out(
        self, place: _Place, call: ToolCall, arguments: dict[str, Any], ctx: CallContext, limit: float
    ) -> ToolResult:
        if call.name not in place.tools:
            await self._arrive(place.connection, limit)
        tool = place.tools.get(call.name)
        if tool is None:
            raise ToolUnavailable(f"the MCP server {self.name!r} offers no tool {call.name!r}{self._why(place)}", sent=False)
        try:
            answer = await place.connection.call(tool.name, arguments, ctx, limit)
        except BadAnswer as exc:
            return failed(call.id, exc.message)
        return await to_result(call.id, answer, self._blobs, ctx)

    def _why(self, place: _Place) -> str:
        diagnosis = place.connection.diagnosis
        return f": {diagnosis.problem}" if diagnosis else ""

    async def _arrive(self, connection: Connection, limit: float) -> None:
        """A call that a restart carries over may come before the tools are known."""
        try:
            async with asyncio.timeout(min(limit, 5.0)):
                await connection.tried()
        except TimeoutError:
            return

    def _nearest(self, who: Principal) -> _Place:
        """The place of this user; the one that is nobody's where there is no room for another."""
        try:
            return self._place(who)
        except ToolUnavailable:
            return self._places["", ""]

    def _place(self, who: Principal) -> _Place:
        key = (who.tenant, who.user) if self.spec.per_user and who.user else ("", "")
        place = self._places.get(key)
        if place is None:
            if not self.spec.on:
                raise ToolUnavailable(f"the MCP server {self.name!r} is switched off", sent=False)
            self._make_room()
            place = self._open(key, who)
        self._places.move_to_end(key)
        place.connection.used_at = time.monotonic()
        return place

    def _open(self, key: tuple[str, str], who: Principal) -> _Place:
        tools: dict[str, ServerTool] = {}

        def learn(found: list[Any]) -> None:
            tools.clear()
            tools.update(self._describe(found))
            place.shown = tuple(tool.shown for tool in tools.values())

        connection = Connection(
            self.name,
            lambda: target_of(self.spec, who, self._env),
            connect_timeout_s=self.spec.connect_timeout,
            pace=self._pace,
            on_tools=learn,
            on_change=lambda: self._on_change(self.name),
        )
        place = _Place(connection, self._spawn(connection.run(), f"mcp server {self.name}"), tools, ())
        self._places[key] = place
        return place

    def _make_room(self) -> None:
        """Close the connection that was longest unused, never one that is at work."""
        if len(self._places) <= MOST_USERS:
            return
        for key, place in self._places.items():
            if key != ("", "") and not place.connection.running:
                self._close(key)
                return
        raise ToolUnavailable(f"the MCP server {self.name!r} serves as many users as it may at once", sent=False)

    def _close(self, key: tuple[str, str]) -> None:
        self._places.pop(key).end()

    def _describe(self, found: list[Any]) -> dict[str, ServerTool]:
        ids = tool_ids(self.slug, [tool.name for tool in found])
        described = {}
        for tool in found:
            hints = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {}
            shown = ToolDef(
                id=ids[tool.name],
                description=tool.description or "",
                schema=tool.input_schema,
                effect=effect_of(tool.name, hints, self.spec.effects),
                title=tool.title or hints.get("title", ""),
            )
            described[shown.id] = ServerTool(tool.name, shown)
        return described
