from .edge import Edge
from .errors import STATUS, error_answer, on_error, openai_error_body, problem_body
from .events import EventStream, frame
from .health import Health, health_routes
from .raw import RawResponse
from .schema import openapi

__all__ = [
    "STATUS",
    "Edge",
    "EventStream",
    "Health",
    "RawResponse",
    "error_answer",
    "frame",
    "health_routes",
    "on_error",
    "openai_error_body",
    "openapi",
    "problem_body",
]
