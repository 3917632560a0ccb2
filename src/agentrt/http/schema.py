"""The OpenAPI description: what the handlers say, and what every one of them may answer besides."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request, Router
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import HeaderParameter

from agentrt import __version__

from .errors import OpenAIError, OpenAIFailure, Problem

IdempotencyKey = Annotated[str, HeaderParameter(name="Idempotency-Key")]

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_OPENAI_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
_SSE = "text/event-stream"
_EVENT_STREAM = {
    "schema": {
        "description": "One event; `data` is a JSON object.",
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("event", "id", "data")},
        "required": ["event", "data"],
    }
}
_EVERYWHERE = {
    "403": "The request's Host or Origin is not allowed here.",
    "500": "A mistake of the server.",
    "503": "The server is shutting down, or its database does not answer.",
}
_WITH_PARAMETERS = {"400": "The request cannot be used; `param` names the place."}
_WITH_BODY = {
    **_WITH_PARAMETERS,
    "413": "The body is too large.",
    "415": "The body is not declared as application/json.",
}


def openapi() -> OpenAPIConfig:
    """`/schema/openapi.json`."""
    return OpenAPIConfig(
        title="agentrt",
        version=__version__,
        description="A self-hosted agent runtime: runs, sessions, tool servers, and OpenAI's chat API.",
        path="/schema",
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, before_request=_nothing_else),
        render_plugins=[_Description(media_type=MediaType.JSON)],
        use_handler_docstrings=True,
    )


def _nothing_else(request: Request[Any, Any, Any]) -> None:
    """Litestar's page for what is not there is no problem document."""
    if request.scope["path"].rstrip("/") not in ("/schema", "/schema/openapi.json"):
        raise NotFoundException


def problems(told: Mapping[int, str]) -> dict[int, ResponseSpec]:
    """For a handler's `responses`: the failures of its own, as problem details."""
    return {status: ResponseSpec(None, description=text) for status, text in told.items()}


class _Description(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return msgspec.json.encode(completed(openapi_schema))


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the failures that any operation may answer, in the shape that they really have."""
    paths = {
        path: {method: _completed(operation, openai=path.startswith("/v1/")) for method, operation in item.items()}
        for path, item in document["paths"].items()
    }
    _, shapes = msgspec.json.schema_components([Problem, OpenAIError, OpenAIFailure], ref_template="#/components/schemas/{name}")
    known = document.get("components", {})
    schemas = known.get("schemas", {}) | shapes
    for name in _taken(paths, schemas):
        schemas[name] = {"additionalProperties": False, **schemas[name]}
    return {**document, "paths": paths, "components": {**known, "schemas": schemas}}


def _completed(operation: dict[str, Any], *, openai: bool) -> dict[str, Any]:
    if "requestBody" in operation:
        expected = _EVERYWHERE | _WITH_BODY
    elif operation.get("parameters"):
        expected = _EVERYWHERE | _WITH_PARAMETERS
    else:
        expected = _EVERYWHERE
    content = _OPENAI_ERROR if openai else _PROBLEM
    said: dict[str, Any] = operation["responses"]
    shaped = {
        status: answer | {"content": _own(answer) | content} if status[0] in "45" else _streamed(answer)
        for status, answer in said.items()
    }
    for status, text in expected.items():
        answer = said.get(status, {})
        ours = answer.get("description") if _is_shaped(answer) else None
        shaped[status] = {"description": ours or text, "content": _own(answer) | content}
    return {**operation, "responses": dict(sorted(shaped.items()))}


def _own(answer: dict[str, Any]) -> dict[str, Any]:
    """The shapes that a failure was described with by hand, beside the one that all have."""
    told = answer.get("content", {})
    return {kind: body for kind, body in told.items() if _is_shaped(answer) and "properties" in body.get("schema", {})}


def _streamed(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, and what its events are: Litestar says null of those, for their handler returns none."""
    content = answer.get("content", {})
    return answer | {"content": content | {_SSE: _EVENT_STREAM}} if content.get(_SSE) == {"schema": {"type": "null"}} else answer


def _taken(paths: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """The components that bodies are made of, which take no fields but their own."""
    bodies = [operation["requestBody"] for item in paths.values() for operation in item.values() if "requestBody" in operation]
    found: set[str] = set()
    wanted = set(_references(bodies))
    while wanted:
        found |= wanted
        wanted = set(_references([schemas[name] for name in wanted])) - found
    return {name for name in found if "properties" in schemas[name]}


def _references(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(reference)}:
            yield reference.rpartition("/")[2]
        case dict():
            yield from _references(list(node.values()))
        case list():
            for each in node:
                yield from _references(each)


def _is_shaped(answer: dict[str, Any]) -> bool:
    """Whether a handler of ours described this failure, rather than Litestar for it."""
    properties = next(iter(answer.get("content", {}).values()), {}).get("schema", {}).get("properties", {})
    return bool(answer) and "status_code" not in properties
