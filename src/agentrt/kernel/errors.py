"""Every error raised on purpose.

* AgentrtError
  x Invalid        what was sent cannot be used; `param` names the place
  x Denied         known, but not allowed
  x NotFound       the thing named does not exist, or not for this tenant
  x Conflict       somebody else moved first, or the state does not allow it
  x TooLarge       more bytes than the limit allows
  x Exhausted      a limit or budget is used up; `retry_after_s` says when to come back
  x Unavailable    a part that is needed does not answer
  x UpstreamFailed a provider or tool server answered with a failure
  x TimedOut       a wait reached its end

The domain knows kinds; the edges turn a kind into a status (`http.errors`).
"""

from typing import ClassVar, Literal

Kind = Literal["invalid", "denied", "not_found", "conflict", "too_large", "exhausted", "unavailable", "upstream", "timeout"]


class AgentrtError(Exception):
    """Base of every deliberate failure.

    `code` is a stable machine-readable word; the message is one sentence for a person, free of paths and secrets.
    """

    kind: ClassVar[Kind]
    default_code: ClassVar[str]

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after_s = retry_after_s


class Invalid(AgentrtError):
    """What was sent cannot be used; `param` names the place."""

    kind = "invalid"
    default_code = "invalid_request"


class Denied(AgentrtError):
    """Known, but not allowed."""

    kind = "denied"
    default_code = "denied"


class NotFound(AgentrtError):
    """The thing named does not exist, or not for this tenant."""

    kind = "not_found"
    default_code = "not_found"


class Conflict(AgentrtError):
    """Somebody else moved first, or the state does not allow it."""

    kind = "conflict"
    default_code = "conflict"


class TooLarge(AgentrtError):
    """More bytes than the limit allows."""

    kind = "too_large"
    default_code = "too_large"


class Exhausted(AgentrtError):
    """A limit or budget is used up."""

    kind = "exhausted"
    default_code = "exhausted"


class Unavailable(AgentrtError):
    """A part that is needed does not answer."""

    kind = "unavailable"
    default_code = "unavailable"


class UpstreamFailed(AgentrtError):
    """A provider or tool server answered with a failure."""

    kind = "upstream"
    default_code = "upstream_error"


class TimedOut(AgentrtError):
    """A wait reached its end."""

    kind = "timeout"
    default_code = "timeout"
