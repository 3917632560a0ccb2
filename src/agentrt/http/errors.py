"""How failures look over HTTP: OpenAI's body under `/v1`, problem details (RFC 9457) elsewhere. Nothing inner leaves."""

import http
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, SerializationException
from litestar.utils import normalize_path

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
_BROKEN_OFF = "client disconnected prematurely"  # Litestar has no class of its own for it
_STATUS_OF_CODE = {"unsupported_media_type": 415}
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


_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`")
_MISSING_FIELD = re.compile(r"Object missing required field `(.*?)`")


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details (RFC 9457), with our stable `code`, and `param` where one place is to blame."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    param: str | None = None


class OpenAIFailure(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an error under `/v1`."""

    error: OpenAIFailure


def openai_error_body(error: AgentrtError, status: int | None = None) -> bytes:
    """An OpenAIError."""
    code = status or _status_of(error)
    kind = _OPENAI_TYPES.get(code, "server_error" if code >= 500 else "invalid_request_error")
    failure = OpenAIFailure(message=error.message, type=kind, param=error.param, code=error.code)
    return msgspec.json.encode(OpenAIError(error=failure))


def problem_body(error: AgentrtError, status: int | None = None) -> bytes:
    """A Problem."""
    code = status or _status_of(error)
    title = http.HTTPStatus(code).phrase
    problem = Problem(
        type="about:blank", title=title, status=code, detail=error.message, code=error.code, param=error.param or None
    )
    return msgspec.json.encode(problem)


def error_answer(path: str, error: AgentrtError, status: int | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers for an error at `path`."""
    code = status or _status_of(error)
    openai = path == "/v1" or path.startswith("/v1/")
    headers = {"content-type": "application/json" if openai else "application/problem+json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    elif error.kind == "exhausted":  # for good: the SDKs would try again by themselves
        headers["x-should-retry"] = "false"
    return code, (openai_error_body if openai else problem_body)(error, code), headers


def on_error(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """The application's handler for everything that is raised."""
    error, status, extra = _as_error(request, exc)
    code, body, headers = error_answer(request.scope["path"], error, status)
    media_type = headers.pop("content-type")
    return Response(body, status_code=code, headers=headers | extra, media_type=media_type)


def _status_of(error: AgentrtError) -> int:
    return _STATUS_OF_CODE.get(error.code) or STATUS[error.kind]


def _as_error(request: Request[Any, Any, Any], exc: Exception) -> tuple[AgentrtError, int | None, dict[str, str]]:
    if isinstance(exc, AgentrtError):
        return exc, None, {}
    if isinstance(exc, InternalServerException) and exc.detail == _BROKEN_OFF:
        return Invalid("the request broke off within its body", code="broken_off"), 400, {}
    if not isinstance(exc, HTTPException) or exc.status_code >= 500:
        log.error("request.crashed", path=request.scope["path"], method=request.method, exc_info=exc)
        return Unavailable("The server made a mistake; its log says more.", code="internal_error"), 500, {}
    status = exc.status_code
    kind = _BY_STATUS.get(status, Invalid)
    extra = {k: v for k, v in (exc.headers or {}).items() if k.lower() in ("allow", "retry-after")}
    if status == 404:
        return kind(f"there is nothing at {request.method} {request.scope['path'][:200]}"), status, extra
    if status == 405:
        request.scope["path_template"] = _route_of(request, extra)
        detail = f"{request.method} is not possible at {request.scope['path'][:200]}"
        return kind(detail, code="method_not_allowed"), status, extra
    if status == 413:
        limit = request.app.request_max_body_size
        return TooLarge(f"the request body is larger than {limit} bytes", code="request_too_large"), status, extra
    if isinstance(exc.__cause__, SerializationException):
        why = _lowered(exc.detail.removeprefix("JSON is malformed: "))
        return Invalid(f"the request body is not valid JSON: {why}", code="invalid_json"), status, extra
    message, param = _validation(exc)
    return kind(message, param=param), status, extra


def _route_of(request: Request[Any, Any, Any], headers: Mapping[str, str]) -> str:
    """The template of a route that does not take this method; Litestar names only those that it enters."""
    takes = next((value for name, value in headers.items() if name.lower() == "allow"), "")
    path = normalize_path(request.scope["path"])
    return request.app.asgi_router.handle_routing(path=path, method=takes.partition(",")[0].strip())[-1]


def _validation(exc: HTTPException) -> tuple[str, str | None]:
    """What Litestar says of a request that does not fit, as one sentence and the place it speaks of."""
    details = exc.extra if isinstance(exc.extra, list) else []
    said = [_complaint(d) for d in details if isinstance(d, dict) and "message" in d]
    if not said:
        return exc.detail.rpartition("Validation failed for ")[2] or exc.detail, None
    return "; ".join(sentence for sentence, _ in said), said[0][1]


def _complaint(detail: Mapping[str, Any]) -> tuple[str, str | None]:
    """One sentence, and the place; Litestar calls the whole body `data`."""
    message, place = str(detail["message"]), str(detail.get("key") or "")
    inside = "" if place == "data" else place
    if unknown := _UNKNOWN_FIELD.match(message):
        return f"there is no field {unknown[1][:64]!r}{f' in {inside}' if inside else ''}", unknown[1][:64]
    if message == "'data'":
        return "a JSON body is needed", None
    where = inside or ("the body" if place else "")
    sentence = f"{where}: {_lowered(message)}" if where else message
    if missing := _MISSING_FIELD.match(message):
        return sentence, f"{inside}.{missing[1]}" if inside else missing[1]
    return sentence, inside or None


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
