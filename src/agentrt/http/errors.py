"""How failures look over HTTP: OpenAI's body under `/v1`, problem details (RFC 9457) elsewhere. Nothing inner leaves."""

import http
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from agentrt.kernel import (
    AgentrtError,
    Conflict,
    Denied,
    Exhausted,
    Invalid,
    Kind,
    NotFound,
    TooLarge,
    Unavailable,
)

log = structlog.get_logger()

STATUS: Mapping[Kind, int] = {
    "invalid": 400,
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "exhausted": 429,
    "unavailable": 503,
    "upstream": 502,
    "timeout": 504,
}
_OPENAI_TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error"}
_BY_STATUS: Mapping[int, type[AgentrtError]] = {
    400: Invalid,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: Exhausted,
    503: Unavailable,
}


def openai_error_body(error: AgentrtError, status: int | None = None) -> bytes:
    """`{"error": {message, type, param, code}}`."""
    code = status or STATUS[error.kind]
    kind = _OPENAI_TYPES.get(code, "server_error" if code >= 500 else "invalid_request_error")
    return msgspec.json.encode({"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}})


def problem_body(error: AgentrtError, status: int | None = None) -> bytes:
    """Problem details: title, status, detail, and our stable `code` (and `param`, where one is to blame)."""
    code = status or STATUS[error.kind]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(code).phrase,
        "status": code,
        "detail": error.message,
        "code": error.code,
    }
    return msgspec.json.encode(body | ({"param": error.param} if error.param else {}))


def error_answer(path: str, error: AgentrtError, status: int | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers for an error at `path`."""
    code = status or STATUS[error.kind]
    openai = path == "/v1" or path.startswith("/v1/")
    headers = {"content-type": "application/json" if openai else "application/problem+json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    return code, (openai_error_body if openai else problem_body)(error, code), headers


def on_error(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """The application's handler for everything that is raised."""
    error, status, extra = _as_error(request, exc)
    code, body, headers = error_answer(request.scope["path"], error, status)
    media_type = headers.pop("content-type")
    return Response(body, status_code=code, headers=headers | extra, media_type=media_type)


def _as_error(request: Request[Any, Any, Any], exc: Exception) -> tuple[AgentrtError, int | None, dict[str, str]]:
    if isinstance(exc, AgentrtError):
        return exc, None, {}
    if not isinstance(exc, HTTPException) or exc.status_code >= 500:
        log.error("request.crashed", path=request.scope["path"], method=request.method, exc_info=exc)
        return Unavailable("The server made a mistake; its log says more.", code="internal_error"), 500, {}
    status = exc.status_code
    kind = _BY_STATUS.get(status, Invalid)
    extra = {k: v for k, v in (exc.headers or {}).items() if k.lower() in ("allow", "retry-after")}
    if status == 404:
        return kind(f"there is nothing at {request.method} {request.scope['path'][:200]}"), status, extra
    if status == 405:
        detail = f"{request.method} is not possible at {request.scope['path'][:200]}"
        return kind(detail, code="method_not_allowed"), status, extra
    message, param = _validation(exc)
    return kind(message, param=param), status, extra


def _validation(exc: HTTPException) -> tuple[str, str | None]:
    """What Litestar says of a request that does not fit, as one sentence and the place it speaks of."""
    details = exc.extra if isinstance(exc.extra, list) else []
    if not details or not isinstance(details[0], dict):
        return _sentence(exc.detail), None
    said = [f"{d['key']}: {d['message']}" if d.get("key") else str(d["message"]) for d in details if "message" in d]
    return "; ".join(said) or _sentence(exc.detail), str(details[0].get("key") or "") or None


def _sentence(detail: str) -> str:
    """Without what Litestar puts before the reason."""
    return detail.rpartition("Validation failed for ")[2] or detail
