"""What a run that ended without an answer means to a caller of `/v1`. Pure."""

from agentrt.events import RunCancelled, RunFailed
from agentrt.kernel import AgentrtError, Conflict, Denied, Exhausted, Invalid, NotFound, TimedOut, Unavailable, UpstreamFailed

# Codes of `run_failed`: the kind of failure, and the code that clients of OpenAI know it by.
_MEANINGS: dict[str, tuple[type[AgentrtError], str]] = {
    "authentication": (UpstreamFailed, "provider_authentication"),
    "permission": (UpstreamFailed, "provider_permission"),
    "not_found": (NotFound, "model_not_found"),
    "invalid_request": (Invalid, "invalid_request"),
    "context_length": (Invalid, "context_length_exceeded"),
    "content_filter": (Invalid, "content_filter"),
    "rate_limit": (Exhausted, "rate_limit_exceeded"),
    "budget_exceeded": (Exhausted, "budget_exceeded"),
    "overloaded": (Unavailable, "provider_overloaded"),
    "timeout": (TimedOut, "provider_timeout"),
    "timeout_connect": (TimedOut, "provider_timeout"),
    "timeout_first_token": (TimedOut, "provider_timeout"),
    "timeout_idle": (TimedOut, "provider_timeout"),
    "timeout_total": (TimedOut, "provider_timeout"),
    "no_model_for_request": (Invalid, "no_model_for_request"),
    "denied": (Denied, "denied"),
}
_WAIT_S = 5.0  # what a caller is told to wait where nobody says how long it takes
FINAL = frozenset({"budget_exceeded", "run_cancelled"})  # the same request again would end the same way


def failed_midway(why: str) -> AgentrtError:
    """What was sent of an answer is void: its model broke off, or broke the form it was to keep, and another one started over."""
    message = f"The model broke off in the middle of its answer. What was sent of it is void; ask again. ({why})"
    return UpstreamFailed(message, code="model_failed_midway")


def failure_of(end: RunFailed | RunCancelled | None) -> AgentrtError:
    """The error that tells this end; None stands for a stream that the server cut short."""
    if end is None:
        message = "The server is shutting down; the run goes on at its next start."
        return Unavailable(message, code="server_shutting_down", retry_after_s=_WAIT_S)
    if isinstance(end, RunCancelled):
        return Conflict("The run was cancelled.", code="run_cancelled")
    kind, code = _MEANINGS.get(end.code, (UpstreamFailed, end.code))
    wait = (end.retry_after_s or _WAIT_S) if code == "rate_limit_exceeded" or kind is Unavailable else None
    return kind(end.message, code=code, retry_after_s=wait)
