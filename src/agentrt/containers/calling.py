"""Calls of code tools from outside: each is opened as a run by whoever offers this."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from agentrt.agents import SandboxRule
from agentrt.kernel import Conflict, Exhausted, Invalid, NotFound, Principal, TimedOut, Unavailable
from agentrt.messages import ToolCall, ToolResult

from .errors import SandboxGone
from .output import Emit

# by the HTTP status that `executed` leads to
FAILURES = {
    409: "The run was cancelled meanwhile.",
    429: "Too many runs go on; come back after `Retry-After`.",
    504: "The call took too long.",
}


class Called(Protocol):
    """What came of a call, and the run that recorded it; `reason` says in a word why no answer came."""

    @property
    def run_id(self) -> str: ...
    @property
    def result(self) -> ToolResult: ...
    @property
    def reason(self) -> str: ...
    @property
    def replayed(self) -> bool: ...


class Caller(Protocol):
    """Carries out a tool call as a run."""

    async def __call__(
        self,
        who: Principal,
        sandbox: SandboxRule,
        call: ToolCall,
        *,
        session_id: str,
        metadata: Mapping[str, Any],
        emit: Emit | None = None,
        idempotency_key: str = "",
        body_hash: str = "",
    ) -> Called: ...


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an execution made: its id under `/v1/files`, and its path in the workspace."""

    file: str
    name: str
    media_type: str
    size: int


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of code. `result` is the value of the last expression; `ended` what cut it short, else `exited`; `truncated`:
    the run's events have more of the output; `state_lost`: variables of earlier executions are gone."""

    run_id: str
    exit_code: int
    stdout: str
    stderr: str
    result: str
    artifacts: list[KeptFile]
    not_kept: list[str]
    truncated: bool
    state_lost: bool
    ended: str
    duration_ms: float


def executed(done: Called) -> Executed:
    """The outcome of an execution; raises what kept it from having one."""
    if done.reason:
        raise _failure(done.reason, done.result.text)
    structured = done.result.structured
    if "error" in structured:
        error = structured["error"]
        raise Invalid(error["message"], code=error["code"], param=error["param"])
    return msgspec.convert({"run_id": done.run_id, **structured}, Executed)


def headers_of(called: Called) -> dict[str, str]:
    """Of the answer to a call over HTTP."""
    return {"x-run-id": called.run_id, **({"idempotency-replayed": "true"} if called.replayed else {})}


def _failure(reason: str, message: str) -> Exception:
    match reason:
        case "pool_exhausted" | "budget_exceeded":
            return Exhausted(message, code=reason, retry_after_s=2)
        case "sandbox_not_found" | "sandbox_died":
            return SandboxGone(message, code=reason)
        case "pool_not_found":
            return NotFound(message, code=reason)
        case "timeout":
            return TimedOut(message)
        case "cancelled":
            return Conflict(message, code=reason)
        case _:
            return Unavailable(message, code=reason)
