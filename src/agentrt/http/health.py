"""`/health`: how the server and each of its modules is. Public; no secret in it."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from litestar import Response, get

from agentrt.kernel import ModuleHealth


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`degraded` where a part does not work; the server serves all the same."""

    status: str
    service: str = "agentrt"
    version: str
    mcp_server_connected: bool
    client_initialized: bool
    active_runs: int
    queued_runs: int
    default_agent: dict[str, Any]
    modules: Mapping[str, ModuleHealth]


class Alive(msgspec.Struct, frozen=True):
    status: str = "ok"


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What is served here, for a person who opens the address."""

    name: str = "agentrt"
    version: str
    links: Mapping[str, str]


def health_routes(read: Callable[[], Health], ready: Callable[[], bool], version: str) -> list[Any]:
    """The handlers; `read` gives the health now, `ready` whether new work is taken."""
    links = {
        "health": "/health",
        "docs": "/docs",
        "openapi": "/schema/openapi.json",
        "models": "/v1/models",
        "chat": "/v1/chat/completions",
        "runs": "/runs",
        "sessions": "/sessions",
        "mcp_servers": "/mcp-servers",
    }

    @get("/", sync_to_thread=False, tags=["server"], summary="What is served here", operation_id="index")
    def index() -> Index:
        return Index(version=version, links=links)

    @get("/health", sync_to_thread=False, tags=["server"], summary="How the server is", operation_id="health")
    def health() -> Health:
        return read()

    @get("/health/live", sync_to_thread=False, tags=["server"], summary="Whether the process answers", operation_id="live")
    def live() -> Alive:
        return Alive()

    @get("/health/ready", sync_to_thread=False, tags=["server"], summary="Whether new work is taken", operation_id="ready")
    def ready_() -> Response[Alive]:
        return Response(Alive()) if ready() else Response(Alive("not ready"), status_code=503, headers={"retry-after": "2"})

    return [index, health, live, ready_]
