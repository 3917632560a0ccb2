"""`/mcp`: streamable HTTP, the one address of an MCP server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import delete, get, post
from litestar.openapi.spec import Operation
from litestar.types import ASGIApp

from .operations import END, LISTEN, POST


def _told(what: Mapping[str, Any]) -> type[Operation]:
    """An operation that is described by hand."""

    @dataclass
    class Told(Operation):
        def __post_init__(self) -> None:
            for name, value in what.items():
                setattr(self, name, value)

    return Told


def mcp_routes(handle: ASGIApp) -> Sequence[Any]:
    """The handlers of `/mcp`. Each only names the application that does the work: no argument, no parsing."""

    @post(
        "/mcp",
        status_code=200,
        sync_to_thread=False,
        operation_class=_told(POST),
        operation_id="postMcp",
        summary="Send a message of the Model Context Protocol",
        tags=["mcp"],
    )
    def post_mcp() -> ASGIApp:
        """Streamable HTTP, in the revisions with sessions and in the one without. Hanging up ends the calls under way."""
        return handle

    @get(
        "/mcp",
        sync_to_thread=False,
        operation_class=_told(LISTEN),
        operation_id="listenMcp",
        summary="Listen to a session of the Model Context Protocol",
        tags=["mcp"],
    )
    def get_mcp() -> ASGIApp:
        return handle

    @delete(
        "/mcp",
        status_code=200,
        sync_to_thread=False,
        operation_class=_told(END),
        operation_id="endMcp",
        summary="End a session of the Model Context Protocol",
        tags=["mcp"],
    )
    def delete_mcp() -> ASGIApp:
        return handle

    return (post_mcp, get_mcp, delete_mcp)
