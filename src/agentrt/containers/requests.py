"""From what the sandbox API is asked to calls of the code tools."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from agentrt.agents import AgentSpec, SandboxRule
from agentrt.kernel import Invalid, Principal, new_body, new_id
from agentrt.messages import ToolCall

from .arguments import check_code
from .calling import Called, Caller
from .output import Emit
from .sandboxes import Held, Sandboxes
from .tool_defs import EXECUTE_BASH, EXECUTE_PYTHON
from .views import AcquireSandbox, ExecuteCode

Work = Callable[[Emit | None], Coroutine[Any, Any, Called]]


class Front:
    """Sandboxes for callers from outside, who come through no agent: what they execute is a run of its own."""

    def __init__(self, sandboxes: Sandboxes, caller: Caller) -> None:
        self.sandboxes, self._caller = sandboxes, caller

    async def acquire(self, who: Principal, asked: AcquireSandbox, expires_s: float | None = None) -> Held:
        session = asked.session if asked.session is not None else f"box-{new_body()}"
        if not session or not session.isprintable():
            why = "a session's name is not empty, and has printable characters only"
            raise Invalid(why, param="session", code="invalid_session")
        rule = SandboxRule(pool=asked.pool, workspace=asked.workspace)
        return await self.sandboxes.hold(who, session, direct(rule), expires_s=expires_s)

    def execution(self, held: Held, asked: ExecuteCode, key: str = "") -> Work:
        """What carries it out; with an idempotency key once only. Invalid for what cannot be executed."""
        call = _call(asked)
        holder = held.holder
        who = Principal(holder.tenant, holder.user)
        rule = SandboxRule(pool=holder.pool, workspace="session" if holder.session else "user")

        def work(emit: Emit | None = None) -> Coroutine[Any, Any, Called]:
            # the same sandbox is found again by its holder
            told = {"sandbox": held.id}
            once = {"idempotency_key": f"exec:{key}", "body_hash": _hash(held, asked)} if key else {}
            return self._caller(who, rule, call, session_id=holder.session, metadata=told, emit=emit, **once)

        return work


def direct(rule: SandboxRule) -> AgentSpec:
    """Who holds a sandbox for callers that come through no agent."""
    return AgentSpec(name="direct", sandbox=rule)


def _call(asked: ExecuteCode) -> ToolCall:
    if asked.language not in ("python", "bash"):
        raise Invalid(f"{asked.language[:40]!r} is no language here: python, bash", code="unknown_language", param="language")
    check_code(asked.code, "code")
    limit = {} if asked.timeout_s is None else {"timeout_s": asked.timeout_s}
    if asked.language == "bash":
        return ToolCall(new_id("call"), EXECUTE_BASH.id, _json({"command": asked.code, **limit}))
    return ToolCall(new_id("call"), EXECUTE_PYTHON.id, _json({"code": asked.code, "stateful": asked.stateful, **limit}))


def _hash(held: Held, asked: ExecuteCode) -> str:
    return hashlib.sha256(held.id.encode() + msgspec.json.encode(asked)).hexdigest()


def _json(arguments: dict[str, Any]) -> str:
    return msgspec.json.encode(arguments).decode()
