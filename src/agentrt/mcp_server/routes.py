"""`/mcp`: streamable HTTP, the one address of an MCP server."""

from collections.abc import Sequence
from typing import Any

from litestar import delete, get, post
from litestar.types import ASGIApp

from .operations import End, Listen, Post


def mcp_routes(handle: ASGIApp) -> Sequence[Any]:
    """The handlers of `/mcp`. Each only names the application that does the work: no argument, no parsing."""

    @post(
        "/mcp",
        status_code=200,
        sync_to_thread=False,
        operation_class=Post,
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
        operation_class=Listen,
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
        operation_class=End,
        operation_id="endMcp",
        summary="End a session of the Model Context Protocol",
        tags=["mcp"],
    )
    def delete_mcp() -> ASGIApp:
        return handle

    return (post_mcp, get_mcp, delete_mcp)
