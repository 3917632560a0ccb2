from .body import JsonRequest
from .docs import docs_routes
from .edge import Edge
from .errors import STATUS, OpenAIError, error_answer, on_error, openai_error_body, problem_body
from .events import EventStream, frame, one_line
from .health import Health, health_routes
from .lean import LeanLitestar
from .query import known_query
from .raw import RawResponse
from .schema import IdempotencyKey, openapi, problems

__all__ = [
    "STATUS",
    "Edge",
    "EventStream",
    "Health",
    "IdempotencyKey",
    "JsonRequest",
    "LeanLitestar",
    "OpenAIError",
    "RawResponse",
    "docs_routes",
    "error_answer",
    "frame",
    "health_routes",
    "known_query",
    "on_error",
    "one_line",
    "openai_error_body",
    "openapi",
    "problem_body",
    "problems",
]
