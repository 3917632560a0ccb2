"""What `configs/mcp/servers.yaml` can say: the `mcpServers` form that people already have, and a few keys more."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agentrt.agents import Effect

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Transport = Literal["stdio", "http"]

DEFAULT_SERVER = "default"
USER = re.compile(r"\$\{AGENTRT_USER(?::-([^}]*))?\}")

_HTTP_TYPES = ("http", "streamable-http", "streamable_http", "streamableHttp")


class McpServerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One server: a `command` to start, or the `url` of one that runs.

    Strings in `command args env cwd url headers` may hold `${VAR}` and `${VAR:-default}`. Two variables are always there:
    `${AGENTRT_PYTHON}`, the interpreter that runs agentrt with the packages it has, and (in `headers`) `${AGENTRT_USER}`, the
    end user of the run; a header that is empty without a user is left out. `cwd` is relative to the folder of the file.
    `effects` maps globs of tool names to what a call does; the first that matches wins over what the server says of itself.
    `autoApprove` and `alwaysAllow` are read from files of other programs and do nothing here: agents say what is allowed.
    """

    type: Literal["stdio", "http", "streamable-http", "streamable_http", "streamableHttp", "sse"] | None = None
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    disabled: bool = False
    enabled: bool = True
    required: bool = False
    connect_timeout: Seconds = 30.0
    call_timeout: Seconds | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 8
    effects: dict[str, Effect] = {}
    description: str = ""
    auto_approve: Any = msgspec.field(default=None, name="autoApprove")
    always_allow: Any = msgspec.field(default=None, name="alwaysAllow")

    @property
    def on(self) -> bool:
        return self.enabled and not self.disabled

    @property
    def transport(self) -> Transport:
        return "http" if self.type in _HTTP_TYPES or (self.type is None and self.url) else "stdio"

    @property
    def per_user(self) -> bool:
        """Whether a connection belongs to one end user, because what is sent with it names them."""
        return self.transport == "http" and any(map(USER.search, self.headers.values()))


class McpServers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document `mcp/servers.yaml`."""

    servers: dict[str, McpServerSpec] = msgspec.field(name="mcpServers", default_factory=dict)


def servers_in(document: McpServers, *, folder: Path | None, env: Mapping[str, str]) -> dict[str, McpServerSpec]:
    """The servers of a document that lies in `folder`, and the one that MCP_SERVER_URL names, called `default`."""
    servers = dict(document.servers)
    if url := env.get("MCP_SERVER_URL"):
        servers.setdefault(DEFAULT_SERVER, McpServerSpec(url=url, headers={"x-user-id": "${AGENTRT_USER}"}))
    return {name: _placed(spec, folder) for name, spec in servers.items()}


def _placed(spec: McpServerSpec, folder: Path | None) -> McpServerSpec:
    if not spec.cwd or folder is None or spec.cwd.startswith(("/", "~", "${")):
        return spec
    return msgspec.structs.replace(spec, cwd=str(folder / spec.cwd))
