"""Everything that can be set, and what is in force. The configuration reference is made from these types."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from .address import Address

Durability = Literal["normal", "full"]
BareModels = Literal["agent", "passthrough", "refuse"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]


class LogOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Annotated[LogLevel, Meta(description="The least serious line that is written.")] = "info"
    format: Annotated[
        LogFormat, Meta(description="`auto`: for people on a terminal, JSON lines elsewhere. Logs go to standard error.")
    ] = "auto"


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images that messages give by their address, fetched for providers that want the bytes."""

    inner_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Hosts inside that may be asked for images: names, addresses, networks. No other host inside is asked."),
    ] = ()
    max_bytes: Annotated[int, Meta(ge=1024, description="The largest image that is fetched.")] = 20_971_520
    timeout_s: Annotated[float, Meta(gt=0, le=300, description="Seconds that fetching an image may take.")] = 20.0


class Plain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that are in force as they were written."""

    addr: Annotated[str, Meta(description="Where to listen, HOST:PORT; `:8080` means every address of this machine.")] = (
        "127.0.0.1:8080"
    )
    allow_unauthenticated: Annotated[
        bool, Meta(description="Listen on an address that others can reach, without authentication.")
    ] = False
    allowed_hosts: Annotated[
        tuple[str, ...], Meta(description="Names beside the loopback ones that a request's Host header may carry.")
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...], Meta(description="Origins of web pages, such as `http://localhost:3000`, whose scripts may call.")
    ] = ()
    durability: Annotated[
        Durability, Meta(description="`full`: what was acknowledged also survives a power loss (SQLite; slower).")
    ] = "normal"
    offline_rules: Annotated[
        Path | None, Meta(description="A file, or a folder of files, with rules for the offline model, before the built-in ones.")
    ] = None
    modules: Annotated[
        dict[str, bool], Meta(description="Optional modules switched off or on by name, such as `mcp_registry: false`.")
    ] = {}
    providers: Annotated[
        dict[str, dict[str, Any]], Meta(description="Model providers by name, beside those that environment variables configure.")
    ] = {}
    prices: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="Prices by globs of `provider/model`, in US dollars for a million tokens; before those that are known."),
    ] = {}
    models: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="What models can do, by globs of `provider/model`, such as `vision: true`; before what is known."),
    ] = {}
    containers: Annotated[
        dict[str, Any],
        Meta(description="Where code runs: the `engine`, the `pools` with their sizes and limits, the `upstreams` it may call."),
    ] = {}
    default_agent: Annotated[str, Meta(min_length=1, description="The agent that runs when a request names none.")] = "default"
    default_model: Annotated[
        str | None, Meta(description="The model of the default agent, as `provider/model` or a bare id, before its own chain.")
    ] = None
    bare_models: Annotated[
        BareModels,
        Meta(
            description="What a bare model id in a chat request means: the default agent with that model, the model alone, 404."
        ),
    ] = "agent"
    session_timeout_s: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Idle seconds after which a session named by `user` starts anew; else as the agent says."),
    ] = None
    mcp_agent: Annotated[str, Meta(description="The agent whose tools `/mcp` offers to MCP clients.")] = "code-executor"
    mcp_agents: Annotated[
        tuple[str, ...], Meta(description="Globs of agent names that `/mcp` offers as tools, each as `agent__NAME`; none: `[]`.")
    ] = ("*",)
    mcp_server_url: Annotated[str | None, Meta(description="One more MCP server, by its address.")] = None
    max_active_runs: Annotated[int, Meta(ge=1, description="Runs under way at once; more of them wait as `queued`.")] = 200
    max_body_bytes: Annotated[int, Meta(ge=1024, description="The largest request body; more is answered 413.")] = 32_000_000
    max_file_bytes: Annotated[int, Meta(ge=1024, description="The largest file that is uploaded; more is answered 413.")] = (
        536_870_912
    )
    shutdown_grace_s: Annotated[
        float, Meta(ge=0, le=600, description="Seconds that steps in flight get to finish when the server stops.")
    ] = 5.0
    images: ImageOptions = ImageOptions()
    log: LogOptions = LogOptions()


class Options(Plain, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `agentrt.yaml`, `AGENTRT_*` variables (nested by `__`) and flags can say."""

    data_dir: Annotated[
        Path | None,
        Meta(
            description="The folder of everything that is kept; by default `./data` where that holds data, else this user's own."
        ),
    ] = None
    database_url: Annotated[
        str | None, Meta(description="`postgresql://…` or `sqlite:///…`; by default an embedded SQLite file in the data folder.")
    ] = None
    config: Annotated[
        Path | None, Meta(description="An agent file, or a folder of them; by default `configs/agents/`, else those shipped.")
    ] = None
    mcp_config: Annotated[
        Path | None, Meta(description="The MCP servers; by default `configs/mcp/servers.yaml`, else the one shipped.")
    ] = None
    skills: Annotated[
        Path | None,
        Meta(description="The folder of skills that agents choose from; by default `configs/skills/`, else the one shipped."),
    ] = None


class Settings(Plain, frozen=True, kw_only=True):
    """What is in force: every path absolute, the database address in its asynchronous dialect.

    `env` is the environment handed to modules: the process's, over `.env`. `sources` are the files that were read.
    `notices` are sentences to log at start.
    """

    data_dir: Path
    database_url: str
    config: Path
    mcp_config: Path
    skills: Path
    env: Mapping[str, str] = {}
    sources: tuple[Path, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return Address.parse(self.addr).host or ""

    @property
    def port(self) -> int:
        return Address.parse(self.addr).port or 0

    @property
    def shown_database(self) -> str:
        """The database's address without its password and parameters."""
        parts = urlsplit(self.database_url)
        if self.database_url.startswith("sqlite"):
            return self.database_url.replace("+aiosqlite", "", 1)
        user = f"{parts.username}@" if parts.username else ""
        return f"postgresql://{user}{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def enabled(self, module: str) -> bool:
        """Whether the optional module is on; on is the default."""
        return self.modules.get(module, True)

    def __repr__(self) -> str:
        # the environment and the database's address hold secrets; a repr ends in tracebacks and logs
        return f"Settings(addr={self.addr!r}, data_dir={str(self.data_dir)!r})"
