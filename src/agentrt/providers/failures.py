"""What a provider's refusal means: statuses, headers and error bodies turned into a ModelFailure. No I/O here."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from .errors import ModelFailure
from .wires import Wire, shape_of_url

_CODES = {
    400: "invalid_request",
    401: "authentication",
    402: "permission",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "server_error",  # a conflict there, such as a lock, that passes
    413: "invalid_request",
    422: "invalid_request",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}
_STATUS_WORDS = {
    "authentication": "refused the API key",
    "permission": "does not allow this",
    "not_found": "does not know this model or address",
    "rate_limit": "asks to slow down",
    "overloaded": "is overloaded",
    "timeout": "gave up waiting",
    "context_length": "says that the conversation is too long for the model",
    "content_filter": "filtered this request",
    "invalid_request": "refused the request",
    "server_error": "failed",
}
_TRANSIENT = frozenset({"rate_limit", "overloaded", "server_error", "timeout"})
# Errors that waiting does not heal although their status says so.
_DAILY = "daily_quota"
_FINAL = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", _DAILY})
_TOO_LONG = re.compile(
    r"context[ _](?:length|size|limit)|context window|maximum context|maximum prompt length|maximum number of tokens"
    r"|too many tokens|(?:prompt|input) is too long",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content_filter\Z|.*_policy(?:_violation)?\Z")
_SECRET = re.compile(r"\b(?:sk|pk|rk|gsk|xai)[-_][\w*.-]{6,}|\bAIza[\w-]{10,}|\bBearer\s+\S+", re.IGNORECASE)
_MOST = 400
# Who asks for a longer rest has said enough.
LONGEST_S = 86_400.0


class Complaint(msgspec.Struct, frozen=True):
    """What an error body says, whatever its shape. `kind` and `reason` are the provider's own words for it, `wait_s` how
    long it says to wait."""

    message: str = ""
    code: str = ""
    kind: str = ""
    reason: str = ""
    wait_s: float | None = None


def complaint_in(error: Any) -> Complaint:
    """Read the value under `error`: OpenAI's object, Anthropic's (its `type` names the kind), Gemini's (its `status` does,
    and `details` say more), Ollama's bare string, or the dialects in between."""
    if isinstance(error, str):
        return Complaint(error)
    if not isinstance(error, Mapping):
        return Complaint()
    reason, wait_s = _details(error.get("details"))
    message = error.get("message") or error.get("detail") or error.get("error") or ""
    return Complaint(
        message if isinstance(message, str) else msgspec.json.encode(message).decode(),
        str(error.get("code") or ""),
        str(error.get("type") or error.get("status") or ""),
        reason,
        wait_s,
    )


def refused(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, *, wire: Wire, secrets: Iterable[str], now: float
) -> ModelFailure:
    """The failure that an HTTP answer other than 200 stands for. `now` (Unix seconds) makes sense of a Retry-After date."""
    if 300 <= status < 400:
        return ModelFailure(
            f"{provider} answered with a redirect ({status}): its base URL is not the one of the API",
            code="not_found",
            status=status,
        )
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _without_json(provider, status, headers, body, wire, secrets, now)
    if isinstance(decoded, list) and decoded:
        decoded = decoded[0]  # Gemini wraps it so where it was not asked for an event stream
    said = complaint_in(decoded.get("error", decoded) if isinstance(decoded, dict) else decoded)
    found = failure(provider, status, said, secrets=secrets, retry_after_s=retry_after(headers, now))
    if (wish := headers.get("x-should-retry")) in ("true", "false"):
        found.retryable = wish == "true"  # OpenAI's and Anthropic's word, which their SDKs heed
    return found


def failure(
    provider: str, status: int, said: Complaint, *, secrets: Iterable[str] = (), retry_after_s: float | None = None
) -> ModelFailure:
    """The failure for a status and what the provider said with it."""
    code = _code_of(status, said)
    text = clean(said.message, secrets)
    message = f"{provider} {_STATUS_WORDS[code]} ({status})" + (f": {text}" if text else "")
    retryable = code in _TRANSIENT and not {said.code, said.kind, said.reason} & _FINAL
    wait_s = said.wait_s if retry_after_s is None else retry_after_s
    return ModelFailure(message, code=code, status=status, retryable=retryable, retry_after_s=wait_s)


def in_stream(provider: str, error: Any, *, secrets: Iterable[str] = ()) -> ModelFailure:
    """The failure for an error object that came in the middle of a stream, where no status tells its kind."""
    said = complaint_in(error)
    return failure(provider, _status_of(said), said, secrets=secrets)


def not_an_api(provider: str, status: int, wire: Wire) -> ModelFailure:
    """A web page where the API should be."""
    return ModelFailure(
        f"{provider} answered with a web page instead of the API ({status}): its base URL usually {shape_of_url(wire)}",
        code="malformed" if status == 200 else _code_of(status, Complaint()),
        status=status,
        retryable=status in (429, 502, 503, 504),
    )


def is_page(content_type: str, body: bytes) -> bool:
    return content_type.startswith("text/html") or body[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (seconds or a date); None where neither can be read. However
    many are asked for, at most `LONGEST_S`."""
    if (ms := headers.get("retry-after-ms")) is not None and (number := _number(ms)) is not None:
        return number / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    if (number := _number(value)) is not None:
        return number
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    in_utc = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return min(max(0.0, in_utc.timestamp() - now), LONGEST_S)


def clean(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` on one line, of bounded length, without keys: neither the given ones nor what looks like one."""
    for secret in secrets:
        text = text.replace(secret, "[removed]")
    text = " ".join(_SECRET.sub("[removed]", text[: 8 * _MOST]).split())
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def _without_json(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, wire: Wire, secrets: Iterable[str], now: float
) -> ModelFailure:
    wait = retry_after(headers, now)
    if is_page(headers.get("content-type", ""), body):
        page = not_an_api(provider, status, wire)
        page.retry_after_s = wait
        return page
    said = Complaint(body[: 8 * _MOST].decode(errors="replace"))
    return failure(provider, status, said, secrets=secrets, retry_after_s=wait)


def _code_of(status: int, said: Complaint) -> str:
    if said.code == "context_length_exceeded" or (status in (400, 413, 422) and _TOO_LONG.search(said.message)):
        return "context_length"
    if _FILTERED.match(said.code):
        return "content_filter"
    if said.reason == "API_KEY_INVALID":
        return "authentication"
    return _CODES.get(status, "server_error" if status >= 500 else "invalid_request")


def _status_of(said: Complaint) -> int:
    if said.code.isdigit() and 400 <= int(said.code) < 600:
        return int(said.code)
    words = f"{said.code} {said.kind}".lower()
    for word, status in (
        ("rate_limit", 429),
        ("resource_exhausted", 429),
        ("insufficient_quota", 429),
        ("overloaded", 503),
        ("unavailable", 503),
        ("billing", 402),
        ("image", 400),
        ("policy", 400),
        ("mismatch", 400),
        ("too_large", 413),
        ("context_length", 400),
        ("invalid", 400),
        ("content", 400),
        ("auth", 401),
        ("permission", 403),
        ("not_found", 404),
        ("timeout", 408),
    ):
        if word in words:
            return status
    return 500


def _details(details: Any) -> tuple[str, float | None]:
    """Gemini's `details`: the reason of an error and its `retryDelay` ("37s"), where they are there.

    A quota of the day that is spent bears a delay of seconds too; it is worth nothing.
    """
    reason, wait_s = "", None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping):
            reason = reason or str(detail.get("reason") or "")
            if isinstance(delay := detail.get("retryDelay"), str):
                wait_s = _number(delay.removesuffix("s"))
            if _of_the_day(detail.get("violations")):
                reason = _DAILY
    return (reason, None) if reason == _DAILY else (reason, wait_s)


def _of_the_day(violations: Any) -> bool:
    found = violations if isinstance(violations, list) else ()
    return any("perday" in str(one.get("quotaId") or "").lower() for one in found if isinstance(one, Mapping))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return min(number, LONGEST_S) if number >= 0 else None
