"""Why a model gave no whole answer.

* UpstreamFailed
  x ModelFailure      `retryable`: the same request may succeed later; `status`: of the HTTP answer, 0 where none came
"""

from agentrt.kernel import UpstreamFailed


class ModelFailure(UpstreamFailed):
    """No whole answer. `code` is one of `authentication`, `permission`, `not_found`, `invalid_request`, `context_length`,
    `rate_limit`, `overloaded`, `server_error`, `connection`, `timeout`, `malformed`, `truncated`, `content_filter`."""

    default_code = "server_error"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 0,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)
        self.status = status
        self.retryable = retryable
