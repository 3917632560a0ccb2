"""Why a model gave no whole answer.

* UpstreamFailed
  x ModelFailure      `retryable`: the same request may succeed later; `status`: of the HTTP answer, 0 where none came
"""

from agentrt.kernel import UpstreamFailed
from agentrt.messages import Usage

NO_USAGE = Usage()


class ModelFailure(UpstreamFailed):
    """No whole answer. `code` is one of `authentication`, `permission`, `not_found`, `invalid_request`, `context_length`,
    `rate_limit`, `overloaded`, `server_error`, `connection`, `malformed`, `truncated`, `content_filter`; where a time limit
    passed `timeout_connect`, `timeout_first_token`, `timeout_idle`, `timeout_total`, or `timeout` if the provider says so;
    where nobody was asked `circuit_open`, `cooling_down`, `no_model_for_request`; where the answer does not have the form that
    was asked for `response_format_unsatisfied`. `usage` is what it cost, as far as the provider said."""

    default_code = "server_error"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 0,
        retryable: bool = False,
        retry_after_s: float | None = None,
        usage: Usage = NO_USAGE,
    ) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)
        self.status = status
        self.retryable = retryable
        self.usage = usage
