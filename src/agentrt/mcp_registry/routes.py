"""`GET /mcp-servers`: what tool servers there are, how they are, and why one is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from litestar import get
from litestar.params import FromPath

from agentrt.http import problems

from .views import McpServerDetail, McpServerList, list_of

if TYPE_CHECKING:
    from .registry import McpRegistry


def server_routes(registry: McpRegistry) -> Sequence[Any]:
    """The handlers, bound to a registry."""

    @get("/mcp-servers", tags=["MCP servers"], summary="List MCP servers", operation_id="listMcpServers", sync_to_thread=False)
    def list_servers() -> McpServerList:
        return list_of(registry.views())

    @get(
        "/mcp-servers/{name:str}",
        tags=["MCP servers"],
        summary="Show an MCP server",
        operation_id="showMcpServer",
        responses=problems({404: "There is no such server."}),
        sync_to_thread=False,
    )
    def show_server(name: FromPath[str]) -> McpServerDetail:
        return registry.show(name)

    return (list_servers, show_server)
