"""Why a tool gave no answer.

* UpstreamFailed
  x ToolUnavailable   the transport failed before an answer came; `sent` says whether the tool may have run
* TimedOut
  x ToolTimedOut      no answer within its time limit
"""

from agentrt.kernel import TimedOut, UpstreamFailed


class ToolUnavailable(UpstreamFailed):
    """The transport failed before an answer came; `sent` says whether the tool may have run."""

    default_code = "tool_unavailable"

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ToolTimedOut(TimedOut):
    """No answer within its time limit."""

    default_code = "tool_timeout"
