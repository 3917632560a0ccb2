"""The code tools: Python, Bash and the files of a workspace, for agents and for callers from outside."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import assert_never

from msgspec.structs import replace

from agentrt.agents import AgentSpec
from agentrt.kernel import AgentrtError, Invalid, Principal
from agentrt.messages import Text, ToolCall, ToolResult
from agentrt.tools import CallContext, ToolDef, parse_arguments

from . import arguments as a
from . import file_tools
from .egress import Grant
from .packages import Packages
from .runner import Job, Mode
from .sandboxes import Held, Sandboxes
from .station import Station
from .tool_defs import ALWAYS, INSTALL_PACKAGE, PACKAGES
from .tool_results import execution_result
from .workspaces import PART

NAME = "code"


class CodeTools:
    """A tool source. Without an engine, or an image, its tools are missing, and say what to do."""

    def __init__(self, sandboxes: Sandboxes, station: Station, packages: Packages) -> None:
        self._sandboxes, self._station, self._packages = sandboxes, station, packages

    async def list(self, agent: AgentSpec, who: Principal) -> Sequence[ToolDef]:
        if not _may_use(agent):
            return ()
        await self._station.settled()
        if self._station.obstacle(agent.sandbox.pool):
            return ()
        return (*ALWAYS, INSTALL_PACKAGE) if self._packages.offered(agent.sandbox) else ALWAYS

    def missing(self, agent: AgentSpec, who: Principal) -> Mapping[str, str]:
        why = self._station.obstacle(agent.sandbox.pool) if _may_use(agent) else ""
        return {NAME: why} if why else {}

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        """What goes wrong with a call is its result; what goes wrong with the sandbox is raised."""
        try:
            given = a.given(call.name, parse_arguments(call))
            _check(given)
            if "path" in given.__struct_fields__:
                given = replace(given, path=file_tools.inside(given.path))  # type: ignore[union-attr]
        except Invalid as exc:
            return _refused(call, exc)
        if ctx.session_id:
            held = await self._sandboxes.hold(ctx.who, ctx.session_id, ctx.agent)
        else:
            held = await self._sandboxes.hold_for_run(ctx.who, ctx.run_id, ctx.agent)
        try:
            if self._packages.offered(ctx.agent.sandbox) and not held.has_packages:
                # before the interpreter looks there: what is missing then it does not look for again
                with suppress(AgentrtError):  # the disk is full, or code put a file there: to mend that takes these tools
                    await asyncio.to_thread(held.tree.mkdir, PACKAGES.removeprefix(f"{file_tools.WORKSPACE}/"))
                    held.has_packages = True
            return await self._carry_out(call, given, held, ctx)
        except AgentrtError as exc:
            if exc.kind in ("invalid", "not_found", "too_large", "conflict") and held.lease.alive:
                return _refused(call, exc)
            raise

    async def _carry_out(self, call: ToolCall, given: a.Given, held: Held, ctx: CallContext) -> ToolResult:
        limits = held.pool.spec.limits
        match given:
            case a.ExecutePython(code=code, timeout_s=wanted, stateful=stateful):
                return await self._execute(call, held, ctx, "kernel" if stateful else "python", code, wanted)
            case a.ExecuteBash(command=command, timeout_s=wanted):
                return await self._execute(call, held, ctx, "bash", command, wanted)
            case a.InstallPackage(packages=packages):
                wall_s = a.wall_limit(None, limits.wall_s, ctx.timeout_s)
                aside = f"{PART}{secrets.token_hex(8)}"
                job = self._packages.job(ctx.agent.sandbox, packages, limits, wall_s, aside)
                try:
                    return await self._run(call, held, ctx, job)
                finally:
                    with suppress(AgentrtError):  # cut off it leaves what it has unpacked, which takes room and is not listed
                        await asyncio.to_thread(held.tree.sweep, aside)
            case a.ReadFile():
                return await file_tools.read_file(call, given, held, ctx, self._sandboxes)
            case a.WriteFile():
                return await file_tools.write_file(call, given, held, ctx, self._sandboxes)
            case a.EditFile():
                return await file_tools.edit_file(call, given, held, ctx, self._sandboxes)
            case a.ListFiles() | a.GlobFiles() | a.DeleteFile():
                return await asyncio.to_thread(file_tools.look_or_delete, call, given, held.tree)
            case _:
                assert_never(given)

    async def _execute(
        self, call: ToolCall, held: Held, ctx: CallContext, mode: Mode, code: str, wanted: float | None
    ) -> ToolResult:
        limits = held.pool.spec.limits
        job = Job(
            mode=mode,
            code=code,
            env={"PYTHONPATH": PACKAGES},
            wall_s=a.wall_limit(wanted, limits.wall_s, ctx.timeout_s),
            cpu_s=limits.cpu_s,
            output_bytes=limits.output_bytes,
        )
        return await self._run(call, held, ctx, job)

    async def _run(self, call: ToolCall, held: Held, ctx: CallContext, job: Job) -> ToolResult:
        grant = Grant(who=ctx.who, rule=ctx.agent.sandbox, run_id=ctx.run_id, session=ctx.session_id or ctx.run_id)
        done = await self._sandboxes.execute(held, job, grant=grant, emit=ctx.emit)
        return execution_result(call, done, job.wall_s)


def _check(given: a.Given) -> None:
    """What needs no sandbox to be refused."""
    if isinstance(given, a.ExecutePython):
        a.check_code(given.code, "code")
    elif isinstance(given, a.ExecuteBash):
        a.check_code(given.command, "command")


def _may_use(agent: AgentSpec) -> bool:
    """Whether the agent's rules let it have any of these tools."""
    return any(agent.rule_for(tool.id) for tool in (*ALWAYS, INSTALL_PACKAGE))


def _refused(call: ToolCall, exc: AgentrtError) -> ToolResult:
    structured = {"error": {"code": exc.code, "message": exc.message, "param": exc.param}}
    return ToolResult(call.id, (Text(exc.message),), is_error=True, structured=structured)
