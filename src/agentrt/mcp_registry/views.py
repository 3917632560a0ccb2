"""Servers as people see them: never an argument, a header, an environment value, or more of an address than its path."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from agentrt.agents import Effect
from agentrt.kernel import BreakerState

from .connection import ConnectionState
from .server import Server
from .spec import Transport


class McpServerView(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server in a list."""

    id: str
    object: Literal["mcp_server"] = "mcp_server"
    name: str
    description: str
    transport: Transport
    state: ConnectionState | Literal["disabled"]
    breaker: BreakerState | None
    required: bool
    protocol_version: str | None
    server: str | None
    tools: list[str]
    last_error: str | None
    suggestion: str | None


class McpToolView(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as it is offered to models."""

    id: str
    title: str
    description: str
    effect: Effect


class McpServerDetail(McpServerView, frozen=True, kw_only=True):
    """One MCP server with its tools in full and the last lines it wrote to standard error."""

    tool_details: list[McpToolView]
    stderr: list[str]


class McpServerList(msgspec.Struct, frozen=True, kw_only=True):
    """All MCP servers."""

    object: Literal["list"] = "list"
    data: list[McpServerView]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


def view_of(server: Server) -> McpServerView:
    return McpServerView(**_fields(server))


def detail_of(server: Server) -> McpServerDetail:
    details = [McpToolView(id=t.id, title=t.title, description=t.description, effect=t.effect) for t in server.known]
    return McpServerDetail(**_fields(server), tool_details=details, stderr=list(server.main.stderr.tail) if server.main else [])


def list_of(servers: Sequence[McpServerView]) -> McpServerList:
    ids = [server.id for server in servers]
    return McpServerList(data=list(servers), first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None)


def _fields(server: Server) -> dict[str, Any]:
    main = server.main
    diagnosis = main.diagnosis if main else None
    return {
        "id": server.slug,
        "name": server.name,
        "description": server.spec.description,
        "transport": server.spec.transport,
        "state": main.state if main else "disabled",
        "breaker": main.breaker if main else None,
        "required": server.spec.required,
        "protocol_version": (main.protocol or None) if main else None,
        "server": (main.server or None) if main else None,
        "tools": [tool.id for tool in server.known],
        "last_error": (main.last_error or None) if main else None,
        "suggestion": (diagnosis.suggestion or None) if diagnosis else None,
    }
